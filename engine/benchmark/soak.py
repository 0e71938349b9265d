"""Hours of use in minutes: jobs, checks and previews on a server of its own, and what they leave behind in it."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine import assets
from engine.errors import EngineError
from engine.progress import Progress

PORTRAIT = "samples/astronaut.png"
TOKEN = "GAUSSIAN_HEADS_TOKEN"
PREVIEWS, SIDE = 25, 256  # of each round; pixels
WARM, FEWEST = 2, 4  # rounds in which caches fill; rounds after them
GROWTH, MEGABYTES, THREADS, HANDLES = 1.1, 40.0, 2, 4  # what may have been added since, beside measuring
JOB = {"name": "Soak", "quality": "draft", "count": "20000", "refine_seconds": "1"}
TIMEOUT = 300.0  # s


@dataclass(frozen=True)
class Round:
    """How the server and its processes stood after a round, with nothing to do.

    Attributes:
        minute: since the start. megabytes: resident. threads, handles: counts; open files, pipes and sockets.
        preview_ms: median of the round.
    """

    minute: float
    megabytes: float
    threads: int
    handles: int
    preview_ms: float


def soak(minutes: float, progress: Progress) -> dict[str, Any]:
    """Use a server of its own for so long, and at least :data:`FEWEST` rounds after :data:`WARM` for warming up.

    Returns:
        ``rounds`` (:class:`Round` as tables), ``jobs``, ``previews``, and ``grown``: what is more than at first, as
        sentences; none where nothing leaks.

    Raises:
        EngineError: psutil is missing, or the server failed.
        Cancelled: the user asked to stop.
    """
    try:
        import psutil
    except ImportError as error:
        raise EngineError("Measuring processes needs psutil.", "Run: pip install psutil") from error
    photo = assets.path(PORTRAIT).read_bytes()
    began, rounds = time.monotonic(), []

    def tick() -> None:
        progress.update((time.monotonic() - began) / max(60 * minutes, 1e-3))

    progress.start("soak")
    with _server() as (process, server):
        while len(rounds) < WARM + FEWEST or time.monotonic() - began < 60 * minutes:
            avatar = _job(server, photo, tick)
            server.json("POST", "/photos/check", *_form({}, {"photo": photo}))
            server.ask("PUT", "/heads/soak", avatar, "application/octet-stream")
            took = [_preview(server, len(rounds) * PREVIEWS + k, tick) for k in range(PREVIEWS)]
            family = [p for p in (process, *process.children(recursive=True)) if p.is_running()]
            rounds.append(
                Round(
                    (time.monotonic() - began) / 60,
                    sum(p.memory_info().rss for p in family) / 1e6,
                    sum(p.num_threads() for p in family),
                    sum(p.num_handles() if psutil.WINDOWS else p.num_fds() for p in family),
                    statistics.median(took),
                )
            )
    progress.finish()
    return {
        "rounds": [vars(row) for row in rounds],
        "jobs": len(rounds),
        "previews": len(rounds) * PREVIEWS,
        "grown": grown(rounds[WARM:]),
    }


def grown(rounds: Sequence[Round]) -> list[str]:
    """What the last half of the rounds has more of than the first, beyond what measuring leaves open."""
    half = len(rounds) // 2
    found = []
    for name, factor, more in (
        ("megabytes", GROWTH, MEGABYTES),
        ("threads", 1.0, THREADS),
        ("handles", 1.0, HANDLES),
    ):
        before, after = (statistics.median(getattr(r, name) for r in some) for some in (rounds[:half], rounds[half:]))
        if after > factor * before + more:
            found.append(f"{before:.0f} {name} became {after:.0f}.")
    return found


class _Client:
    def __init__(self, url: str, token: str):
        self._place, self._token = urlsplit(url).netloc, token

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        connection = http.client.HTTPConnection(self._place, timeout=TIMEOUT)
        try:
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(f"The server failed at {path} ({error}).", "Its words above say more.") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise EngineError(f"The server refused {path}: {content.decode(errors='replace')}.", "Report this.")
        return content

    def json(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> dict[str, Any]:
        return json.loads(self.ask(method, path, body, kind))


@contextmanager
def _server() -> Iterator[tuple[Any, _Client]]:
    import psutil

    token = secrets.token_urlsafe(16)
    words = [sys.executable, "-m", "engine", "serve", "--parent-stdin"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=os.environ | {TOKEN: token}
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        while "ready" not in (line := json.loads(process.stdout.readline() or '{"ready": false}')):
            pass
        if not line["ready"]:
            raise EngineError("The server does not start.", "Its words above say more.")
        yield psutil.Process(process.pid), _Client(line["url"], token)
    finally:
        process.stdin.close()
        process.wait(TIMEOUT)
        process.stdout.close()


def _form(fields: dict[str, str], files: dict[str, bytes]) -> tuple[bytes, str]:
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, content in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _job(server: _Client, photo: bytes, tick: Callable[[], None]) -> bytes:
    job = server.json("POST", "/jobs", *_form(JOB, {"photos": photo}))["id"]
    while (status := server.json("GET", f"/jobs/{job}"))["state"] != "done":
        tick()
        if status["state"] not in ("queued", "running"):
            raise EngineError(f"A job ended {status['state']}: {status['error']}.", "Report this.")
        time.sleep(0.2)
    avatar = server.ask("GET", f"/jobs/{job}/avatar")
    server.ask("DELETE", f"/jobs/{job}")
    return avatar


def _preview(server: _Client, sequence: int, tick: Callable[[], None]) -> float:
    """Milliseconds until the picture was there."""
    tick()
    view = {
        "viewmat": [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0.6], [0, 0, 0, 1]],
        "K": [[SIDE * 1.5, 0, SIDE / 2], [0, SIDE * 1.5, SIDE / 2], [0, 0, 1]],
        "width": SIDE,
        "height": SIDE,
        "sequence": sequence,
        "expression": {"jawOpen": sequence % 10 / 10},
    }
    began = time.perf_counter()
    picture = server.ask("POST", "/heads/soak/preview", json.dumps(view).encode())
    if len(picture) != 4 * SIDE * SIDE:
        raise EngineError("A preview has the wrong size.", "Report this.")
    return 1e3 * (time.perf_counter() - began)
