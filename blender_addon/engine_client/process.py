"""One life of the engine: its process, or the address of another's, from the start to the end."""

from __future__ import annotations

import json
import os
import queue
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from ..errors import AddonError
from .address import is_loopback
from .client import Client
from .log import Log
from .runtime import Runtime
from .status import EngineSettings, EngineStatus
from .system import ending

# Without any sign of the engine while it starts; a virus scanner may hold up one file for long.
PATIENCE_SECONDS = 180.0
TICK_SECONDS = 0.1
PARTS = 2000  # about as many modules are loaded when the engine is ready
GUESS_SECONDS = 3.0  # of unpacking, before it says how long it will take
GRACE_SECONDS = 2.0  # from the end of its input to being killed
LAST_WORDS_SECONDS = 0.3  # for what a dead engine wrote; processes that it started may keep its pipes open for longer
UNPACKING_HINT = "Go on working meanwhile. A virus scanner that looks at every file can make this take minutes."


class Life:
    """One life of the engine, from its start to its end, followed by a thread of its own."""

    def __init__(self, settings: EngineSettings, log_path: Path, publish: Callable[[Life, EngineStatus], None]):
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._live, name="gaussian-heads-engine", daemon=True)
        self._settings = settings
        self._publish = publish
        self._log = Log(log_path)
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
        for path in settings.weights:
            command += ["--weights", str(path)]
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
    assert process.stdin is not None
    with suppress(OSError):  # it is dead already, and so is the pipe
        process.stdin.close()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
