"""The engine that comes with the extension: unpacks its packages on first use and says how to run it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import AddonError
from . import unpack

# Open files whose locks tell other Blenders that an engine may run from their folder, until this Blender ends.
_IN_USE: dict[Path, IO[bytes]] = {}


class EngineEnvironment(NamedTuple):
    """How to run the engine: ``python -m engine`` with these variables on top of the process's own.

    Attributes:
        python: the interpreter.
        environment: ``PYTHONPATH`` (the unpacked packages, then the extension's folder with the ``engine`` package) and
            folders of the user's for what the engine caches; the extension's own folder may be read-only.
    """

    python: Path
    environment: dict[str, str]


class Runtime:
    """The packages that an installed extension carries in ``wheels``.

    Args:
        extension_dir: the extension's folder.
        user_dir: the extension's own folder of the user's (``bpy.utils.extension_path_user``); made where necessary.
        python: the interpreter to run the engine with; by default Blender's own.
    """

    def __init__(self, extension_dir: Path, user_dir: Path, python: Path | None = None):
        self._extension_dir = extension_dir
        self._user_dir = user_dir
        self._python = python or Path(sys.executable)

    def ensure(
        self,
        on_progress: Callable[[float, str], None] = lambda fraction, text: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> EngineEnvironment:
        """Unpacks what is missing or damaged, without network, in a process of its own. Blocks: call it in a thread.

        Takes a fraction of a second once everything is there. Goes on where it was cancelled or killed.

        Args:
            on_progress: gets 0..1 and a sentence; not called where nothing is to be unpacked.
            is_cancelled: asked ten times a second.

        Raises:
            AddonError: cancelled; the extension carries no packages, or none for this Python; a file of it is missing
                or damaged; the disk is full or read-only.
        """
        if not (self._extension_dir / "wheels" / "lock.json").is_file():
            raise AddonError(
                "This copy of the extension does not bring the engine's packages.",
                "Set Engine Python in the extension's preferences to a Python that has them, or install the zip file.",
            )
        while not _hold(site := self._unpack(on_progress, is_cancelled)):
            pass  # another Blender removed it just now, as belonging to another version
        cache = self._user_dir / "cache"
        return EngineEnvironment(
            self._python,
            {
                "PYTHONPATH": f"{site}{os.pathsep}{self._extension_dir}",
                "GAUSSIAN_HEADS_CACHE": str(cache / "heads"),
                "NUMBA_CACHE_DIR": str(cache / f"numba-{self._engine_id()}"),
                "MPLCONFIGDIR": str(cache / "matplotlib"),
            },
        )

    def _engine_id(self) -> str:
        """Names this version of the engine: numba would not notice that a constant of another file has changed."""
        return json.loads((self._extension_dir / "wheels" / "lock.json").read_text("utf-8"))["engine"][:12]

    def _unpack(self, on_progress: Callable[[float, str], None], is_cancelled: Callable[[], bool]) -> Path:
        """Runs the script and follows it; returns the folder of the unpacked packages."""
        process = self._spawn()
        lines: queue.Queue[bytes] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process.stdout, lines), name="gaussian-heads-unpack", daemon=True)
        reader.start()
        words = ""
        try:
            while not is_cancelled():
                try:
                    line = lines.get(timeout=0.1)
                except queue.Empty:
                    continue
                if not line:
                    raise AddonError(
                        f"The engine could not be unpacked ({words or f'exit code {process.wait()}'}).",
                        "Try again; if it stays so, install the extension again from its zip file.",
                    )
                try:
                    said = json.loads(line)
                except ValueError:
                    words = line.decode(errors="replace").strip() or words  # of a traceback, the last line counts
                    continue
                if "site" in said:
                    return Path(said["site"])
                if "hint" in said:
                    raise AddonError(said["message"], said["hint"])
                on_progress(said["fraction"], said["text"])
            raise AddonError("Unpacking the engine was cancelled.", "Start the engine to go on where it stopped.")
        finally:
            process.kill()
            process.wait()
            reader.join()

    def _spawn(self) -> subprocess.Popen:
        # -I: neither Blender's PYTHON… variables nor the user's own packages have a say.
        command = [str(self._python), "-I", unpack.__file__, str(self._extension_dir), str(self._user_dir)]
        hidden = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        try:
            return subprocess.Popen(command, **streams, **hidden)
        except OSError as error:
            raise AddonError(
                f"Blender's Python {self._python} cannot be started ({error.strerror}).",
                "Set Engine Python in the extension's preferences, or install Blender again.",
            ) from error


def _read(stream: IO[bytes], lines: queue.Queue[bytes]) -> None:
    """Hands over every line, and an empty one at the end."""
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(b"")


def _hold(site: Path) -> bool:
    """Keeps other Blenders from removing the folder while this one lives; False where it is gone already."""
    folder = site.parent
    if folder not in _IN_USE:
        try:
            file = (folder / "in-use").open("r+b")
        except FileNotFoundError:
            return False
        if not unpack.try_lock(file, shared=True):
            file.close()
            return False
        _IN_USE[folder] = file
    return site.is_dir()
