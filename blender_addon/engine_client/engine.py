"""The engine's process: starts it, knows how it is, notices its death, and ends it with Blender."""

from __future__ import annotations

import json
import logging.handlers
import os
import queue
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from ..errors import AddonError
from ..files import keep_newest
from .client import Client, EngineLost, is_loopback
from .runtime import Runtime, release
from .system import ending

PATIENCE_SECONDS = (
    180.0  # without any sign of the engine while it starts; a virus scanner may hold up one file for long
)
TICK_SECONDS = 0.1
PARTS = 2000  # about as many modules are loaded when the engine is ready
GUESS_SECONDS = 3.0  # of unpacking, before it says how long it will take
GRACE_SECONDS = 2.0  # from the end of its input to being killed
LAST_WORDS_SECONDS = 0.3  # for what a dead engine wrote; processes that it started may keep its pipes open for longer
LOG_BYTES = 1 << 20  # per log file, of which each Blender keeps two
LOGS_KEPT = 6
UNPACKING_HINT = "Go on working meanwhile. A virus scanner that looks at every file can make this take minutes."


@dataclass(frozen=True)
class EngineSettings:
    """Which engine to use.

    Attributes:
        extension_dir: folder that holds the ``engine`` package.
        user_dir: the extension's own folder for logs and the last heads.
        local_dir: folder for what can be made again: the unpacked engine and its caches.
        blender_dir: folder of Blender's program, where Windows keeps a library; None where there is none.
        python: interpreter with the engine's dependencies; None for the one that comes with the extension.
        url, token: a running engine to use instead of starting one; empty for none.
        online: whether an engine on another computer may be used.
        device: that draws previews, "auto" or "cpu".
    """

    extension_dir: Path
    user_dir: Path
    local_dir: Path
    blender_dir: Path | None = None
    python: Path | None = None
    url: str = ""
    token: str = ""
    online: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class EngineStatus:
    """How the engine is.

    Attributes:
        state: stopped, unpacking, starting, ready or failed.
        message: one sentence for the panel; ``hint`` says what to do, where something is to be done.
        progress: 0..1 of the unpacking, then of the start.
        left_s: seconds that the unpacking will still take; None if unknown.
        health: versions and device; None unless ready.
        client: None unless ready.
        pid: of the process, None where there is none of ours.
    """

    state: str = "stopped"
    message: str = "The engine is not running; it starts by itself when it is needed."
    hint: str = ""
    progress: float = 0.0
    left_s: float | None = None
    health: dict[str, Any] | None = None
    client: Client | None = None
    pid: int | None = None


class Engine:
    """The engine as the add-on sees it. Nothing here blocks but :meth:`wait_ready`, :meth:`explain`, :meth:`close`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._settings: EngineSettings | None = None
        self._status = EngineStatus()
        self._life: _Life | None = None
        self._ending: list[_Life] = []

    @property
    def status(self) -> EngineStatus:
        """A snapshot; a new object exactly when something changed."""
        return self._status

    @property
    def state(self) -> str:
        return self._status.state

    @property
    def message(self) -> str:
        return self._status.message

    @property
    def progress(self) -> float:
        return self._status.progress

    @property
    def health(self) -> dict[str, Any] | None:
        return self._status.health

    @property
    def client(self) -> Client | None:
        """The ready engine's client, otherwise None."""
        return self._status.client

    @property
    def settings(self) -> EngineSettings:
        if self._settings is None:
            raise AddonError("The engine has not been set up.", "Enable the extension again.")
        return self._settings

    @property
    def log_path(self) -> Path:
        """This Blender's log of the engine; may not exist yet."""
        return self.settings.user_dir / "logs" / f"engine-{os.getpid()}.log"

    def configure(self, settings: EngineSettings) -> None:
        """Sets which engine to use from the next start on; a running one of other settings is stopped."""
        if settings != self._settings:
            self.stop()
            self._settings = settings

    def start(self) -> None:
        """Starts the engine unless it is on its way or ready."""
        settings, log_path = self.settings, self.log_path
        with self._changed:
            if self._status.state not in ("stopped", "failed"):
                return
            self._life = life = _Life(settings, log_path, self._publish)
            self._set(EngineStatus("starting", "The engine is starting."))
            life.thread.start()

    def stop(self) -> None:
        """Ends the engine. Its process is gone a moment later."""
        with self._changed:
            if self._life is not None:
                self._life.ending.set()
                self._ending = [life for life in self._ending if life.thread.is_alive()] + [self._life]
                self._life = None
            self._set(EngineStatus())

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends the engine and waits until its process and threads are gone, for the end of Blender."""
        self.stop()
        for life in self._ending:
            life.thread.join(2 * GRACE_SECONDS)
        self._ending = []
        release()

    def wait_ready(self, timeout: float | None = None, is_cancelled: Callable[[], bool] = lambda: False) -> Client:
        """Starts the engine where necessary and waits for it. Blocks.

        Args:
            timeout: seconds; None waits as long as the engine is on its way (unpacking takes minutes).

        Raises:
            AddonError: the engine cannot be started, or not in time; cancelled meanwhile.
        """
        if not is_cancelled():
            self.start()
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while (status := self._status).state in ("unpacking", "starting"):
                if is_cancelled() or (deadline is not None and time.monotonic() > deadline):
                    raise AddonError("The engine is not ready yet.", "Wait until the Engine panel says so.")
                self._changed.wait(0.1)
        if status.client is None:
            raise AddonError(status.message, status.hint or "Start it in the Engine panel.")
        return status.client

    def explain(self, error: EngineLost, client: Client) -> AddonError:
        """Why a client's engine no longer answers, said better than the connection can. Blocks for a moment.

        Where the engine is another's (a URL), it counts as failed from here on, so that the next start asks again.
        """
        with self._changed:
            if self._status.client is client:
                self._changed.wait_for(lambda: self._status.client is not client, 1.0)
            if self._status.client is client and self._status.pid is None:
                self._set(EngineStatus("failed", error.message, error.hint))
            if self._status.state == "failed":
                return AddonError(self._status.message, self._status.hint)
        return error

    def ask_again(self, client: Client) -> None:
        """Ask a ready engine how it is once more: how quick it is shows when it has worked. Blocks."""
        health = client.health()
        with self._changed:
            if self._status.client is client:
                self._set(replace(self._status, health=health))

    def _publish(self, life: _Life, status: EngineStatus) -> None:
        with self._changed:
            if life is self._life:
                self._set(status)

    def _set(self, status: EngineStatus) -> None:
        """Call with the lock held."""
        if status != self._status:
            self._status = status
            self._changed.notify_all()


class _Life:
    """One life of the engine, from its start to its end, followed by a thread of its own."""

    def __init__(self, settings: EngineSettings, log_path: Path, publish: Callable[[_Life, EngineStatus], None]):
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._live, name="gaussian-heads-engine", daemon=True)
        self._settings = settings
        self._publish = publish
        self._log = _Log(log_path)
        self._readers: list[threading.Thread] = []

    def _live(self) -> None:
        try:
            if self._settings.url:
                self._visit()
            else:
                self._serve(*self._python())
        except AddonError as error:
            self._publish(self, EngineStatus("failed", error.message, error.hint))
        except Exception as error:  # whatever it is, the panel must not say "starting" for ever
            message = f"The engine could not be started ({type(error).__name__}: {error})."
            self._publish(self, EngineStatus("failed", message, "Restart Blender and report this."))
            raise
        finally:
            for reader in self._readers:
                reader.join(GRACE_SECONDS)

    def _visit(self) -> None:
        settings = self._settings
        client = Client(settings.url, settings.token)
        if not is_loopback(client.url) and not settings.online:
            raise AddonError(
                "The engine's URL is another computer's, and Blender may not go online.",
                "Allow Online Access in Blender's preferences under System, or use an engine on this computer.",
            )
        self._publish(self, _ready(client, None))

    def _python(self) -> tuple[Path, dict[str, str]]:
        """The interpreter, and what its environment needs besides ours."""
        settings = self._settings
        if settings.python is not None:
            return settings.python, {}

        began = time.monotonic()

        def show(fraction: float, text: str) -> None:
            spent = time.monotonic() - began
            # A first guess is worth nothing, and a second's change is not worth a redraw.
            left = round(spent * (1 - fraction) / fraction) if spent > GUESS_SECONDS and fraction > 0 else None
            self._publish(self, EngineStatus("unpacking", text, UNPACKING_HINT, progress=fraction, left_s=left))

        runtime = Runtime(settings.extension_dir, settings.local_dir, settings.blender_dir)
        found = runtime.ensure(show, self.ending.is_set)
        self._publish(self, EngineStatus("starting", "The engine is starting."))
        return found

    def _serve(self, python: Path, extra: dict[str, str]) -> None:
        token = secrets.token_urlsafe(32)
        process = self._spawn(python, extra, token)
        stderr = threading.Thread(target=self._log.pump, args=(process.stderr,), name="gaussian-heads-log", daemon=True)
        lines: queue.Queue[bytes] = queue.Queue()
        stdout = threading.Thread(
            target=_hand_over, args=(process.stdout, lines), name="gaussian-heads-stdout", daemon=True
        )
        self._readers = [stderr, stdout]
        for reader in self._readers:
            reader.start()
        try:
            url = self._await_ready(process, lines)
            if url:
                self._publish(self, _ready(Client(url, token), process.pid))
                while process.poll() is None and not self.ending.wait(0.2):
                    pass
        finally:
            _end(process)
            stderr.join(LAST_WORDS_SECONDS)
        if not self.ending.is_set():
            raise self._died(process)

    def _spawn(self, python: Path, extra: dict[str, str], token: str) -> subprocess.Popen:
        settings = self._settings
        # Blender's own PYTHON… variables would lead the engine's interpreter to Blender's libraries.
        own = ("PYTHON", "__PYVENV")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(own)}
        environment.setdefault("NUMBA_CACHE_DIR", str(settings.local_dir / "cache" / "numba"))
        environment |= {"PYTHONPATH": str(settings.extension_dir), "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"}
        environment |= extra | {"GAUSSIAN_HEADS_TOKEN": token}
        settings.user_dir.mkdir(parents=True, exist_ok=True)
        # -P: the folder that Blender was started from must not be searched for modules.
        command = [str(python), "-P", "-m", "engine", "serve", "--parent-stdin", "--device", settings.device]
        hidden = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            return subprocess.Popen(
                command,
                env=environment,
                cwd=settings.user_dir,
                start_new_session=sys.platform != "win32",  # Ctrl-C in Blender's terminal is Blender's alone
                **pipes,
                **hidden,
            )
        except OSError as error:
            raise AddonError(
                f"The engine's Python {python} cannot be started ({error.strerror}).",
                "Set another one in the extension's preferences, or leave the field empty.",
            ) from error

    def _await_ready(self, process: subprocess.Popen, lines: queue.Queue[bytes]) -> str:
        """The address that the engine says; empty where it says none, or is to end.

        Patience follows its signs, and counts what was waited, not what a clock says: computers sleep.
        """
        waited, words = 0.0, b""
        while not self.ending.is_set():
            try:
                line = lines.get(timeout=TICK_SECONDS)
            except queue.Empty:
                waited += TICK_SECONDS
                if waited > PATIENCE_SECONDS:
                    raise AddonError(
                        f"The engine gave no sign for {PATIENCE_SECONDS:.0f} seconds while it started.",
                        "Open its log, or restart it.",
                    ) from None
                continue
            if not line:
                if words:
                    raise AddonError(
                        f"The engine did not say that it is ready, but: {words[:200].decode(errors='replace').strip()}",
                        "Check the engine's Python in the preferences.",
                    )
                return ""
            waited = 0.0
            said = _said(line)
            if "starting" in said:
                text = f"The engine is starting: {said['starting']} of its parts are loaded."
                known = said["starting"] if isinstance(said["starting"], int) else 0
                self._publish(self, EngineStatus("starting", text, progress=min(known / PARTS, 1.0)))
            elif "ready" in said:
                return _address(said)
            else:
                words = line  # a library's: the engine's own comes later, or never
        return ""

    def _died(self, process: subprocess.Popen) -> AddonError:
        code = process.returncode
        was_killed = code < 0 or code > 0xFFFF  # and then its log ends with something unrelated
        last = f" Its last words: {self._log.last[:300]}" if self._log.last and not was_killed else ""
        return AddonError(
            f"The engine stopped unexpectedly ({ending(code)}).{last}",
            "Try again: it starts by itself. Its log says more.",
        )


class _Log:
    """The engine's log file, rotated; one per Blender, since two must not write to the same."""

    def __init__(self, path: Path):
        self.last = ""
        self._path = path

    def pump(self, stream: IO[bytes]) -> None:
        """Copies a stream to the file until it ends."""
        handler = self._open()
        with stream:
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                if text:
                    self.last = text.strip()
                handler.emit(logging.makeLogRecord({"msg": text}))
        handler.close()

    def _open(self) -> logging.Handler:
        """The file; nothing where it cannot be written, since the engine blocks if nobody reads what it says."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            keep_newest(self._path.parent, "engine-*.log*", LOGS_KEPT)
            return logging.handlers.RotatingFileHandler(
                self._path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", errors="replace"
            )
        except OSError:
            return logging.NullHandler()


def _hand_over(stream: IO[bytes], lines: queue.Queue[bytes]) -> None:
    """Hands over every line, and an empty one at the end."""
    with stream:
        while line := stream.readline(1 << 16):
            lines.put(line)
    lines.put(b"")


def _said(line: bytes) -> dict[str, Any]:
    """A line of the engine's; empty where it is nothing of the kind."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _address(said: dict[str, Any]) -> str:
    if said["ready"]:
        return str(said.get("url"))
    error = said.get("error")
    if not isinstance(error, dict):
        raise AddonError("The engine cannot start, and does not say why.", "Open its log.")
    raise AddonError(str(error.get("message")), str(error.get("hint")))


def _ready(client: Client, pid: int | None) -> EngineStatus:
    health = client.health()
    return EngineStatus("ready", "The engine is ready.", progress=1.0, health=health, client=client, pid=pid)


def _end(process: subprocess.Popen) -> None:
    """The end of its input asks it to leave; what does not leave is killed."""
    try:
        process.stdin.close()
    except OSError:
        pass  # it is dead already, and so is the pipe
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


ENGINE = Engine()
