"""Unpacks the extension's wheels into a folder of the user's; run as a script by the Python that runs the engine.

``python -I unpack.py EXTENSION_DIR LOCAL_DIR`` says on stdout, one JSON object a line, how far it is (``{"fraction",
"text"}``) and at last where the packages are (``{"site"}``) or what went wrong (``{"message", "hint"}``). It ends as
soon as nobody listens. It works wheel by wheel and marks each one that is complete, so that it may be killed at any
moment and goes on from there; a marked wheel with missing or truncated files is unpacked again.

    LOCAL_DIR/lock                one at a time unpacks or cleans up
    LOCAL_DIR/<key>/site          what becomes the engine's site-packages; the key names Python and the wheels
    LOCAL_DIR/<key>/done/<wheel>  written when the wheel is complete; holds the path of its RECORD
    LOCAL_DIR/<key>/in-use        locked by every Blender whose engine may run from here

What the engine never opens (``left_out`` in the list of wheels: headers, tests, programs) is not unpacked: every file
is one more for a virus scanner, and Windows limits the length of paths.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

AGAIN = "Install the extension again from its zip file."
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
SPARE = 100_000_000  # bytes to leave free; file systems need some per file as well
CHUNK = 1 << 20
MAX_PATH = 259  # characters, without the zero at the end
HELD = (5, 32, 33)  # Windows: access denied, sharing violation, lock violation
TRIES = 20  # a tenth of a second apart


class UnpackError(Exception):
    """What happened, and what to do about it; two sentences for the artist."""

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.message = message
        self.hint = hint


class Wheel(NamedTuple):
    """One line of ``wheels/lock.json``: file name, bytes, sha256 (hexadecimal), and what is unpacked of it.

    ``unpacked`` are bytes, ``files`` their number, ``longest`` the characters of the longest path.
    """

    file: str
    size: int
    sha256: str
    unpacked: int
    files: int
    longest: int


class Progress:
    """Counts bytes read and written, and says so at most ten times a second."""

    def __init__(self, total: int, say: Callable[[dict[str, Any]], None]):
        self.text = ""
        self._total = max(total, 1)
        self._count = 0
        self._said = 0.0
        self._say = say

    def add(self, count: int) -> None:
        self._count += count
        if time.monotonic() - self._said > 0.1:
            self._said = time.monotonic()
            self._say({"fraction": min(self._count / self._total, 1.0), "text": self.text})


def unpack(extension_dir: Path, folder: Path, say: Callable[[dict[str, Any]], None]) -> Path:
    """Unpacks what is missing or damaged; returns the folder to put on the engine's ``PYTHONPATH``.

    Raises:
        UnpackError: a wheel is missing or damaged, there is none for this Python, the disk is full or read-only, paths
            would be too long.
    """
    try:
        lock = json.loads((extension_dir / "wheels" / "lock.json").read_text("utf-8"))
        keys = {tag: key(tag, [Wheel(**row) for row in rows]) for tag, rows in lock["pythons"].items()}
        tools = Wheel(**lock["installer"])
        left_out = re.compile("|".join(f"(?:{pattern})" for pattern in lock["left_out"]) or "(?!)", re.IGNORECASE)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, re.error) as error:
        raise UnpackError(f"The extension's list of packages is damaged ({error}).", AGAIN) from error
    tag = "cp{}{}".format(*sys.version_info)
    if tag not in keys:
        known = " and ".join(f"{t[2]}.{t[3:]}" for t in keys)
        raise UnpackError(
            f"This extension brings the engine for Python {known}, but Blender's is {tag[2]}.{tag[3:]}.",
            "Install the extension's zip for this Blender, or set Engine Python in the extension's preferences.",
        )
    wheels = [Wheel(**row) for row in lock["pythons"][tag]]
    target = folder / keys[tag]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        waiting = {"fraction": 0.0, "text": "Waiting for another Blender that is unpacking the engine."}
        with _locked(folder / "lock", lambda: say(waiting)):
            missing = [wheel for wheel in wheels if not _is_intact(target, wheel)]
            if missing:
                _check_length(target, missing)
                _unpack_all(extension_dir / "wheels", tools, target, missing, left_out, say)
            (target / "in-use").touch()
            _remove_others(folder, set(keys.values()))
    except OSError as error:
        raise UnpackError(
            f"The engine cannot be unpacked into {folder} ({error.strerror or error}).", _way_out(error)
        ) from error
    return target / "site"


def key(tag: str, wheels: list[Wheel]) -> str:
    """The folder's name for these wheels; short, since Windows limits the length of paths."""
    return f"{tag}-{hashlib.sha256(''.join(sorted(w.sha256 for w in wheels)).encode()).hexdigest()[:8]}"


def _check_length(target: Path, wheels: list[Wheel]) -> None:
    """Windows opens no path of 260 characters and more, and says only that there is no such file."""
    too_many = len(str(target / "site")) + 1 + max(wheel.longest for wheel in wheels) - MAX_PATH
    if sys.platform == "win32" and too_many > 0:
        raise UnpackError(
            f"The folder {target.parent} is {too_many} characters too long for Windows.",
            "Allow long paths in Windows, or set Engine Python in the extension's preferences.",
        )


def _way_out(error: OSError) -> str:
    if getattr(error, "winerror", None) in HELD:
        return "Another program, a virus scanner perhaps, has a file open there. Start the engine again in a minute."
    return "Make sure that you may write there, then start the engine again."


def patiently(act: Callable[[], Any]) -> Any:
    """Do something to a file; on Windows again for a moment while another program looks at it."""
    for _ in range(TRIES):
        try:
            return act()
        except OSError as error:
            if getattr(error, "winerror", None) not in HELD:
                raise
            time.sleep(0.1)
    return act()


def _unpack_all(
    source: Path, tools: Wheel, target: Path, wheels: list[Wheel], left_out: re.Pattern, say: Callable
) -> None:
    needed = sum(wheel.unpacked for wheel in wheels) + SPARE
    if shutil.disk_usage(target.parent).free < needed:
        raise _too_full(target, needed)
    progress = Progress(sum(wheel.size + wheel.unpacked for wheel in wheels), say)
    progress.text = "Unpacking the engine."
    progress.add(0)
    _check(source, tools, progress)
    sys.path.insert(0, str(source / tools.file))  # the library that installs wheels is used from its own wheel
    (target / "done").mkdir(parents=True, exist_ok=True)
    for number, wheel in enumerate(wheels, 1):
        left = sum(w.files for w in wheels[number - 1 :])
        progress.text = (
            f"Unpacking the engine, once: {wheel.file.split('-')[0]} ({number} of {len(wheels)}), {left} files to go."
        )
        _check(source, wheel, progress)
        marker = target / "done" / wheel.file
        marker.unlink(missing_ok=True)
        try:
            record = _install(source / wheel.file, target, left_out, progress)
            temporary = marker.with_suffix(".part")
            temporary.write_text(record, "utf-8")
            patiently(lambda: os.replace(temporary, marker))  # noqa: B023 - it is called at once
        except OSError as error:
            if error.errno in FULL:
                raise _too_full(target, sum(w.unpacked for w in wheels[number - 1 :]) + SPARE) from error
            raise


def _check(source: Path, wheel: Wheel, progress: Progress) -> None:
    """Every byte is checked before it is used: downloads break, and so do disks."""
    digest = hashlib.sha256()
    try:
        with (source / wheel.file).open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                progress.add(len(chunk))
    except OSError as error:
        raise UnpackError(
            f"The extension's file {wheel.file} cannot be read ({error.strerror or error}).", AGAIN
        ) from error
    if digest.hexdigest() != wheel.sha256:
        raise UnpackError(f"The extension's file {wheel.file} is damaged.", AGAIN)


def _install(path: Path, target: Path, left_out: re.Pattern, progress: Progress) -> str:
    """Installs one wheel over whatever is there of it; returns the path of its RECORD below ``site``."""
    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.exceptions import InstallerError
    from installer.records import parse_record_file
    from installer.sources import WheelFile

    class Source(WheelFile):
        @property
        def dist_info_filenames(self) -> list[str]:
            # No launchers: nobody starts them here, and virus scanners dislike new programs.
            return [name for name in super().dist_info_filenames if name != "entry_points.txt"]

        def get_contents(self) -> Iterator:
            for record, stream, is_executable in super().get_contents():
                if left_out.fullmatch(record[0]):
                    continue
                yield record, _Counted(stream, progress), is_executable

    class Destination(SchemeDictionaryDestination):
        def finalize_installation(self, scheme, record_file_path, records) -> None:
            promised = {row[0]: row[1] for row in parse_record_file(wheel.read_dist_info("RECORD").splitlines())}
            written = list(records)
            for where, entry in written:
                promise = promised.get(entry.path) or promised.get(f"{wheel.data_dir}/{where}/{entry.path}")
                # Scripts differ rightly: the installer names their interpreter in them.
                if promise and where != "scripts" and promise != str(entry.hash_):
                    raise ValueError(f"{entry.path} is not as its RECORD says")
            super().finalize_installation(scheme, record_file_path, written)

    site, other = target / "site", target / "other"
    schemes = {"purelib": site, "platlib": site}
    schemes |= {name: other / name for name in ("headers", "scripts", "data")}
    try:
        with Source.open(path) as wheel:
            destination = Destination(
                {name: str(folder) for name, folder in schemes.items()},
                interpreter=sys.executable,
                script_kind="posix",
                overwrite_existing=True,
            )
            install(wheel, destination, {"INSTALLER": b"gaussian_heads"})
            return f"{wheel.dist_info_dir}/RECORD"
    except (zipfile.BadZipFile, zlib.error, ValueError, InstallerError) as error:
        raise UnpackError(f"The extension's file {path.name} is not a sound wheel ({error}).", AGAIN) from error


class _Counted:
    """A stream that counts what is read of it."""

    def __init__(self, stream: IO[bytes], progress: Progress):
        self._stream = stream
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._progress.add(len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_intact(target: Path, wheel: Wheel) -> bool:
    """Whether a wheel was unpacked completely and all its files still have their sizes.

    Sizes, not hashes: reading gigabytes at each start would take too long, and what happens to such folders shows in
    the sizes: a crash of the whole computer leaves empty files, a virus scanner or a clean-up takes files away.
    """
    site = target / "site"
    try:
        record = site / (target / "done" / wheel.file).read_text("utf-8")
        with record.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        return bool(rows) and all(os.stat(site / path).st_size == int(size) for path, _, size in rows if size)
    except (OSError, ValueError, csv.Error):
        return False


def _remove_others(folder: Path, keep: set[str]) -> None:
    """Removes what older extensions unpacked, unless a Blender still uses it."""
    for other in [*folder.glob("cp*"), *folder.glob("removed-*")]:
        if other.is_dir() and other.name not in keep and not _is_used(other):
            try:
                # At once out of sight, so that nothing starts from a half-removed folder.
                other = other.rename(other.with_name(f"removed-{time.time_ns()}"))
            except PermissionError:
                continue  # Windows: a program runs from there; the next start tries again
            shutil.rmtree(other, ignore_errors=True)  # what remains is tried again as well


def _is_used(folder: Path) -> bool:
    try:
        with (folder / "in-use").open("r+b") as file:
            return not try_lock(file)
    except FileNotFoundError:
        return False


@contextmanager
def _locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Holds a lock that the system releases however this process ends."""
    with path.open("a+b") as file:
        while not try_lock(file):
            on_wait()
            time.sleep(0.2)
        yield


def try_lock(file: IO[bytes], *, shared: bool = False) -> bool:
    """Locks an open file until it is closed; False where others hold a lock that forbids it."""
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        at_once, exclusive, held = 1, 2, 33  # LOCKFILE_FAIL_IMMEDIATELY, LOCKFILE_EXCLUSIVE_LOCK, ERROR_LOCK_VIOLATION
        lock = ctypes.WinDLL("kernel32", use_last_error=True).LockFileEx
        lock.argtypes = (ctypes.c_void_p, *[ctypes.c_uint32] * 4, ctypes.c_void_p)
        first_byte = ctypes.create_string_buffer(32)  # OVERLAPPED, all zeros
        flags = at_once if shared else at_once | exclusive
        if lock(msvcrt.get_osfhandle(file.fileno()), flags, 0, 1, 0, first_byte):
            return True
        if ctypes.get_last_error() == held:
            return False
        raise ctypes.WinError(ctypes.get_last_error())
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _too_full(target: Path, needed: int) -> UnpackError:
    free = shutil.disk_usage(target.parent).free
    return UnpackError(
        f"Unpacking the engine takes {needed / 1e9:.1f} GB in {target.parent}, but only {free / 1e9:.1f} GB are free.",
        f"Free at least {max(needed - free, CHUNK) / 1e9:.1f} GB, then start the engine again; it goes on from there.",
    )


def _say(said: dict[str, Any]) -> None:
    try:
        print(json.dumps(said), flush=True)
    except OSError:  # Blender is gone; Windows says "invalid argument"
        os._exit(1)


def main() -> int:
    if sys.platform != "win32":
        os.nice(5)  # Blender comes first
    try:
        _say({"site": str(unpack(Path(sys.argv[1]), Path(sys.argv[2]), _say))})
    except UnpackError as error:
        _say({"message": error.message, "hint": error.hint})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
