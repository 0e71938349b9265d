"""Running commands where a person watches."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"  # everything that can be made again, but the engine's environment and data files


def step(text: str) -> None:
    print(f"\n== {text}", flush=True)


def run(*command: str | Path, environment: dict[str, str] | None = None) -> int:
    """Run a command in the repository, showing its output; returns its exit code.

    ``environment`` is added to this process's own.
    """
    variables = None if environment is None else os.environ | environment
    return subprocess.run([str(word) for word in command], cwd=ROOT, env=variables, check=False).returncode


@dataclass(frozen=True)
class Ended:
    """How a command ended, and after how many seconds."""

    code: int
    seconds: float


def run_together(commands: Mapping[str, Sequence[str | Path]], at_once: int) -> dict[str, Ended]:
    """Run commands side by side, so many at a time, showing the output of each, under its name, when it has ended."""

    def one(name: str) -> Ended:
        began = time.monotonic()
        words = [str(word) for word in commands[name]]
        ended = subprocess.run(words, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with showing:
            step(name)
            sys.stdout.buffer.write(ended.stdout)
            sys.stdout.flush()
        return Ended(ended.returncode, time.monotonic() - began)

    showing = threading.Lock()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            return dict(zip(commands, pool.map(one, commands), strict=True))
        except KeyboardInterrupt:  # has reached those that run; the others shall not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise
