"""The engine that comes with the extension: unpacks its packages on first use and says how to run it."""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..errors import AddonError
from . import sweep, system, unpack

# Open files whose locks tell other Blenders that an engine may run from their folder, until this one lets go of them.
_IN_USE: dict[Path, IO[bytes]] = {}


class EngineEnvironment(NamedTuple):
    """How to run the engine: ``python -m engine`` with these variables on top of the process's own.

    Attributes:
        python: the interpreter.
        environment: ``PYTHONPATH`` (the unpacked packages, then the extension's folder with the ``engine`` package),
            folders of the user's for what the engine caches (the extension's own folder may be read-only), and on
            Windows where it finds the libraries that it does not bring.
    """

    python: Path
    environment: dict[str, str]


class Runtime:
    """The packages that an installed extension carries in ``wheels``.

    Args:
        extension_dir: the extension's folder.
        local_dir: folder of the user's for what can be made again; made where necessary.
        blender_dir: the folder of Blender's program; None where there is none.
        python: the interpreter to run the engine with; by default Blender's own.
    """

    def __init__(
        self, extension_dir: Path, local_dir: Path, blender_dir: Path | None = None, python: Path | None = None
    ):
        self._extension_dir = extension_dir
        self._local_dir = local_dir
        self._blender_dir = blender_dir
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
            AddonError: cancelled; the extension carries no packages, or none for this Python or system; a file of it is
                missing or damaged; the disk is full or read-only; Windows lacks a library.
        """
        lock = self._lock()
        system.check(lock["platform"], lock["macos"])
        folders = system.library_folders(self._blender_dir)
        search = os.pathsep.join(map(str, folders))
        libraries = {"GAUSSIAN_HEADS_LIBRARIES": search, "PATH": f"{search}{os.pathsep}{os.environ.get('PATH', '')}"}
        while not _hold(site := self._unpack(on_progress, is_cancelled)):
            pass  # another Blender removed it just now, as belonging to another version
        cache = self._local_dir / "cache"
        return EngineEnvironment(
            self._python,
            {
                "PYTHONPATH": f"{site}{os.pathsep}{self._extension_dir}",
                "GAUSSIAN_HEADS_CACHE": str(cache / "heads"),
                # Named by the engine's version: numba would not notice that a constant of another file has changed.
                "NUMBA_CACHE_DIR": str(cache / f"numba-{lock['engine'][:8]}"),
            }
            | (libraries if folders else {}),
        )

    def _lock(self) -> dict[str, Any]:
        """What ``wheels/lock.json`` says of the whole; the rest of it is :mod:`unpack`'s.

        Raises:
            AddonError: it is missing or damaged.
        """
        try:
            lock = json.loads((self._extension_dir / "wheels" / "lock.json").read_text("utf-8"))
            return {name: str(lock[name]) for name in ("platform", "macos", "engine")}
        except FileNotFoundError:
            raise AddonError(
                "This copy of the extension does not bring the engine's packages.",
                "Set Engine Python in the extension's preferences to a Python that has them, or install the zip file.",
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AddonError(f"The extension's list of packages is damaged ({error}).", unpack.AGAIN) from error

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
                        f"The engine could not be unpacked ({words or system.ending(process.wait())}).",
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
        command = [str(self._python), "-I", unpack.__file__, str(self._extension_dir), str(self._local_dir)]
        hidden = {}
        if sys.platform == "win32":
            hidden["creationflags"] = subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        try:
            return subprocess.Popen(command, **streams, **hidden)
        except OSError as error:
            raise AddonError(
                f"Blender's Python {self._python} cannot be started ({error.strerror}).",
                "Set Engine Python in the extension's preferences, or install Blender again.",
            ) from error


def release() -> None:
    """Let go of what was unpacked, once no engine runs: Windows removes no folder in which a file is open."""
    while _IN_USE:
        _IN_USE.popitem()[1].close()


def sweep_after_uninstall(extension_dir: Path, local_dir: Path) -> subprocess.Popen:
    """Starts a process that removes ``local_dir`` where Blender now uninstalls the extension (see :mod:`sweep`)."""
    # Its words, not its file: that may be gone before Python opens it, and no folder may be held.
    words = Path(sweep.__file__).read_text("utf-8")
    command = [sys.executable, "-I", "-c", words, str(extension_dir), str(local_dir)]
    hidden = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tempfile.gettempdir(), **hidden)
    assert process.stdin is not None
    atexit.register(process.stdin.close)  # open until Blender ends, though nothing of this extension is kept till then
    return process


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
