"""Runs the server as a process: a port of its own, one line when it is ready, gone when its parent is."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import engine
from engine import bootstrap
from engine.errors import EngineError

HOST = "127.0.0.1"
TOKEN = "GAUSSIAN_HEADS_TOKEN"
GRACE = 0.7  # seconds for cleaning up before the process ends all the same
KEEP_ALIVE = 75  # seconds that an idle connection of the client stays open
ENDING = "SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"  # signals, as far as the system has them
SIGN_EVERY = 1.0  # seconds between signs of life before it is ready


def serve(port: int, parent_stdin: bool, device: str, weights: Sequence[Path] = ()) -> None:
    """Serve until asked to stop. Prints JSON lines on stdout: how far the start is, then ready, or why not.

    Args:
        port: on loopback; 0 takes a free one.
        parent_stdin: end when standard input does. The parent holds its other end open, so this works however the
            parent ends.
        device: that draws previews and makes heads: "auto", "cpu", "cuda" or "cuda:1" and so on.
        weights: files that jobs may ask for by name.

    Raises:
        EngineError: there is no such device, the port is taken, or no temporary folder can be made.
    """
    says = Announcer(bootstrap.claim_stdout())
    try:
        _serve(port, parent_stdin, device, weights, says)
    except Exception as error:
        known = isinstance(error, EngineError)
        detail = {
            "type": type(error).__name__,
            "message": error.message if known else f"The engine cannot start ({type(error).__name__}: {error}).",
            "hint": error.hint if known else bootstrap.import_hint(error) or "Install it again; its log says more.",
        }
        says.last({"ready": False, "error": detail})
        raise


class Announcer:
    """Says on a stream how many modules are loaded, as long as they become more, and at last one line more.

    Whoever waits sees that an import is slow (a cold disk, a virus scanner) and not stuck.
    """

    def __init__(self, stream: IO[str]):
        self._stream = stream
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._count, name="signs", daemon=True)
        self._thread.start()

    def last(self, line: dict) -> None:
        """Say ``line`` and nothing after it; only the first call counts."""
        if not self._done.is_set():
            self._done.set()
            self._thread.join()
            self._say(line)

    def _count(self) -> None:
        said = 0
        while not self._done.wait(SIGN_EVERY):
            if len(sys.modules) > said:
                said = len(sys.modules)
                self._say({"starting": said})

    def _say(self, line: dict) -> None:
        with suppress(OSError):  # nobody listens; the end of standard input says so, too
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()


def _serve(port: int, parent_stdin: bool, device: str, weights: Sequence[Path], says: Announcer) -> None:
    listener = _bind(port)
    # Late, so that what is broken in the installation is announced like everything else.
    import uvicorn

    from engine.device import Drawing, check_wanted
    from engine.server.app import create_app
    from engine.server.connections import Connection
    from engine.server.folder import WorkFolder
    from engine.server.services import Services
    from engine.server.weights import by_name
    from engine.threads import share_cores

    check_wanted(device)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    share_cores()
    given = os.environ.pop(TOKEN, "")  # no other process needs to see it
    token = given or secrets.token_urlsafe(32)
    line = {"ready": True, "url": f"http://{HOST}:{listener.getsockname()[1]}", "pid": os.getpid()}
    line |= {"version": engine.__version__} | ({} if given else {"token": token})

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Ctrl-C or a closed terminal stops it as a request does; uvicorn's own raises the signal once more."""
            for name in ENDING:
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), self.handle_exit)
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            says.last(line)

    def stop() -> None:
        server.should_exit = True

    services = Services(_work_folder(WorkFolder), stop, Drawing(device), by_name(weights))
    tempfile.tempdir = str(services.folder.path)  # where FastAPI keeps an upload while it arrives
    config = uvicorn.Config(
        create_app(services, token),
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=1,
    )
    server = Server(config)
    if parent_stdin:
        _watch_stdin(services.close)
    try:
        server.run(sockets=[listener])
    finally:
        services.close()
    _end(0)


def _bind(port: int) -> socket.socket:
    # The protocol is named, since asyncio looks for it before it lets small answers go at once: they took 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":  # there, REUSEADDR would let another program listen in
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise EngineError(
            f"The engine cannot listen on port {port} ({getattr(error, 'strerror', None) or error}).",
            "Choose another port, or 0 to take a free one.",
        ) from error
    return listener


def _work_folder(make: Callable):
    try:
        return make()
    except OSError as error:
        raise EngineError(
            f"No folder can be made in {tempfile.gettempdir()} ({error.strerror or error}).",
            "Free some space on that disk, or point TMPDIR elsewhere.",
        ) from error


def _watch_stdin(close: Callable[[], None]) -> None:
    """End the process when standard input does."""
    watched = os.dup(0)
    # The processes that this one starts shall not hold, or on Windows wait for, what is read here.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        while os.read(watched, 4096):
            pass
        threading.Thread(target=_end_later, daemon=True).start()
        close()
        _end(0)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _end_later() -> None:
    time.sleep(GRACE)
    _end(1)


def _end(code: int) -> None:
    """End at once: a thread that compiles or draws would hold up, or crash, the interpreter's own way out."""
    logging.shutdown()
    os._exit(code)
