"""Starts real engine processes, as Blender does, and talks to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
import requests

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "the parent's secret"
PATIENCE = 300  # seconds until a test gives up on a busy machine


def wait_for(happened: Callable[[], object], what: str):
    """Poll until something true comes back, and return it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if result := happened():
            return result
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


@dataclass
class Engine:
    process: subprocess.Popen
    ready: dict
    session: requests.Session

    def request(self, method: str, path: str, **arguments) -> requests.Response:
        return self.session.request(method, self.ready["url"] + path, timeout=PATIENCE, **arguments)

    def get(self, path: str) -> dict:
        return self.request("GET", path).json()

    def create(self, *photos: tuple[str, bytes], **options) -> str:
        response = self.request("POST", "/jobs", files=[("photos", photo) for photo in photos], data=options)
        assert response.status_code == 202, response.text
        return response.json()["id"]

    def follow(self, job: str, until: Callable[[dict], bool]) -> dict:
        return wait_for(lambda: (status := self.get(f"/jobs/{job}")) and until(status) and status, f"job {job}")

    def finished(self, job: str) -> dict:
        return self.follow(job, lambda status: status["state"] in ("done", "failed", "cancelled"))

    def processes(self) -> list[int]:
        """The engine and those that it started."""
        return family(self.process.pid)


def family(pid: int) -> list[int]:
    """A process and those that it started."""
    return [pid, *(child.pid for child in psutil.Process(pid).children())]


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def answer(stream: IO[str]) -> dict:
    """What the engine says once it is ready, or why it is not; before, it says how far its start is."""
    while "ready" not in (said := json.loads(stream.readline())):
        assert said["starting"] > 0
    return said


def launch(*words: str, **arguments) -> subprocess.Popen:
    environment = os.environ | {"GAUSSIAN_HEADS_TOKEN": TOKEN} | arguments.pop("env", {})
    return subprocess.Popen(
        [sys.executable, "-m", "engine", "serve", "--parent-stdin", *words],
        cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **arguments,
    )  # fmt: skip


@contextmanager
def running(*words: str, **arguments) -> Iterator[Engine]:
    process = launch(*words, **arguments)
    try:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        yield Engine(process, answer(process.stdout), session)
    finally:
        process.stdin.close()
        process.wait(PATIENCE)
        process.stdout.close()
