"""What must hold for the wheels of a zip before it is built, told from the wheels alone: a machine like the artist's is
seldom at hand.

All that is wrong is found before anything is said, each with its file and the reason.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from building import binaries, contents, systems
from building.binaries import Binary
from building.systems import System

Entry = TypeVar("Entry")

# The folder of all packages, below the user's own: as preferences.py and unpack.py of the add-on name it.
SITE = "AppData/Local/gaussian_heads/012/cp311-01234567/site/"
LONGEST = 135  # characters below the user's folder; Windows allows 259 in all, and profiles lie on servers too
MOST_FILES = 12_000  # a virus scanner reads every one
MOST_BYTES = 1_000_000_000
MOST_BYTES_ON_LINUX = 1_400_000_000  # PyTorch, LLVM and ffmpeg are twice the size there

# Program files that are unpacked, by their paths.
PROGRAMS = {
    r"imageio_ffmpeg/binaries/ffmpeg-[^/]+": "the engine writes turntables with it",
    r"torch/bin/torch_shm_manager": "PyTorch's import insists that it is there; it runs where tensors are shared",
}
PROGRAM_NAMES = re.compile(r".*\.(exe|com|scr|msi|bat|cmd|ps1|vbs)", re.IGNORECASE)

# What may reach the network by itself, by its path: what of `binaries.SERVICES` and `TRACES` is known in it, and why it
# says nothing in the engine.
NETWORK = {
    r"onnxruntime/capi/onnxruntime_pybind11_state\..*(so|pyd)": (
        r"OneCollector|events\.data\.microsoft\.com|.*/(CFNetwork|Network)|_OBJC_CLASS_\$_NSURLSession"
        r"|the group of Windows' own telemetry",
        "Microsoft's telemetry. On Linux and macOS it uploads by itself unless ORT_DISABLE_TELEMETRY is set before its "
        "import, as engine/bootstrap.py does. On Windows it opens no connection but hands events to the system, which "
        "sends them where the user allowed optional diagnostic data",
    ),
    r"cv2/\.dylibs/lib(avdevice|avfilter|tesseract)\..*dylib": (
        r"/usr/lib/libcurl\.4\.dylib|_curl_easy_perform",
        "macOS' own curl, for text recognition that loads its models from addresses; the engine calls neither",
    ),
}


@dataclass(frozen=True)
class Bundle:
    """The wheels of one platform for one Python, as they will be unpacked."""

    platform: str  # as Blender calls it
    python: str  # such as "3.11"
    accelerator: str  # cpu or cuda
    wheels: dict[str, Path]  # by their sha256

    @property
    def system(self) -> System:
        return systems.SYSTEMS[self.platform]

    @cached_property
    def files(self) -> dict[str, tuple[str, int]]:
        """By the path below the packages' folder: the wheel, and the bytes."""
        return {
            contents.unpacked_path(info.filename): (_package(wheel), info.file_size)
            for wheel in self.wheels.values()
            for info in contents.kept(wheel)
        }

    @cached_property
    def binaries(self) -> dict[str, Binary]:
        """By the path below the packages' folder."""
        found = {contents.unpacked_path(b.path): b for read in binaries.of_wheels(self.wheels).values() for b in read}
        return {path: binary for path, binary in sorted(found.items()) if path in self.files}


def check(platform: str, python: str, accelerator: str, folder: Path, rows: list[dict]) -> None:
    """Check the wheels that were collected for one Python, and say how much they are.

    Args:
        folder: where the wheels are.
        rows: their lines of ``wheels/lock.json``.

    Raises:
        SystemExit: something is wrong; the text names every file with the reason.
    """
    bundle = Bundle(platform, python, accelerator, {row["sha256"]: folder / row["file"] for row in rows})
    wrong = [
        line
        for gate in (_sizes, _paths, _programs, _kinds, _libraries, _minimum, _signatures, _network)
        for line in gate(bundle)
    ]
    name = f"Python {python} on {platform}"
    if wrong:
        raise SystemExit(f"{len(wrong)} reasons against the wheels for {name}:\n" + "\n".join(f"  {w}" for w in wrong))
    size = sum(size for _, size in bundle.files.values())
    longest = max(map(len, bundle.files), default=0)
    sockets = sorted({bundle.files[path][0] for path, binary in bundle.binaries.items() if binary.sockets})
    print(f"{name}: {len(bundle.files)} files, {size / 1e6:.0f} MB unpacked, longest path {longest} + {len(SITE)}")
    print(f"Of {len(bundle.binaries)} binaries these could open sockets: {', '.join(sockets) or 'none'}")


def _sizes(bundle: Bundle) -> Iterator[str]:
    if bundle.accelerator == "cpu":
        most = MOST_BYTES_ON_LINUX if bundle.platform.startswith("linux") else MOST_BYTES
        if len(bundle.files) > MOST_FILES:
            yield f"{len(bundle.files)} files are unpacked, more than {MOST_FILES}"
        if (size := sum(size for _, size in bundle.files.values())) > most:
            yield f"{size / 1e6:.0f} MB are unpacked, more than {most / 1e6:.0f}"


def _paths(bundle: Bundle) -> Iterator[str]:
    if bundle.platform.startswith("windows"):  # the others allow thousands
        for path, (wheel, _) in bundle.files.items():
            if (length := len(SITE) + len(path)) > LONGEST:
                yield f"{wheel}: {path}: {length} characters below the user's folder, more than {LONGEST}"


def _programs(bundle: Bundle) -> Iterator[str]:
    for path, (wheel, _) in bundle.files.items():
        binary = bundle.binaries.get(path)
        if (PROGRAM_NAMES.fullmatch(path) or (binary and binary.program)) and not _known(PROGRAMS, path):
            yield f"{wheel}: {path}: a program that nobody allowed; virus scanners distrust new ones"


def _kinds(bundle: Bundle) -> Iterator[str]:
    for path, binary in bundle.binaries.items():
        if (binary.format, binary.machine) != (bundle.system.format, bundle.system.machine):
            yield f"{bundle.files[path][0]}: {path}: {binary.format} for {binary.machine}, not for {bundle.platform}"


def _libraries(bundle: Bundle) -> Iterator[str]:
    """Every library that is needed comes with the wheels, or with the system, or is known to be missed by nobody."""
    own: dict[str, set[str]] = {}  # names of the files of each wheel
    for path, (wheel, _) in bundle.files.items():
        own.setdefault(wheel, set()).add(posixpath.basename(path).lower())
    python = f"python{bundle.python.replace('.', '')}.dll"
    for path, binary in bundle.binaries.items():
        wheel = bundle.files[path][0]
        runtimes = systems.RUNTIMES.get(wheel, ())
        for name in binary.needed:
            if bundle.system.brings(name) or (bundle.accelerator == "cuda" and name in systems.DRIVER):
                continue
            if _found(bundle, path, binary, name) or (binary.format != "Mach-O" and name.lower() in own[wheel]):
                continue
            if binary.format == "PE" and (name.lower() == python or name.lower() in runtimes):
                continue
            if not any(re.fullmatch(p, path) and re.fullmatch(n, name) for p, n in systems.NOT_MISSED):
                runtime = name.lower() in systems.RUNTIME
                where = "of Microsoft's runtime, but is not in systems.RUNTIMES" if runtime else "which nobody brings"
                yield f"{wheel}: {path}: needs {name}, {where}"


def _found(bundle: Bundle, path: str, binary: Binary, name: str) -> bool:
    """Whether a library lies where the loader of Linux or macOS looks for it."""
    here = posixpath.dirname(path) or "."
    candidates = [name] if name.startswith("@loader_path") else [f"{f}/{name.split('/')[-1]}" for f in binary.search]
    if name.startswith("@rpath"):
        candidates = [folder + name.removeprefix("@rpath") for folder in binary.search]
    placed = [re.sub(r"@loader_path|\$ORIGIN|\$\{ORIGIN\}", here, candidate) for candidate in candidates]
    return any(posixpath.normpath(candidate) in bundle.files for candidate in placed)


def _minimum(bundle: Bundle) -> Iterator[str]:
    for path, binary in bundle.binaries.items():
        if binary.minimum > bundle.system.minimum:
            needed, promised = (".".join(map(str, version)) for version in (binary.minimum, bundle.system.minimum))
            yield f"{bundle.files[path][0]}: {path}: needs {bundle.system.version_of} {needed}, not {promised}"


def _signatures(bundle: Bundle) -> Iterator[str]:
    for path, binary in bundle.binaries.items():
        if binary.format == "Mach-O" and binary.machine == "arm64" and not binary.signed:
            yield f"{bundle.files[path][0]}: {path}: has no code signature; Apple's processors run nothing without one"


def _network(bundle: Bundle) -> Iterator[str]:
    for path, binary in bundle.binaries.items():
        allowed, _ = _known(NETWORK, path) or ("", "")
        if unknown := [service for service in binary.network if not re.fullmatch(allowed, service)]:
            yield f"{bundle.files[path][0]}: {path}: may reach the network ({', '.join(unknown)}) and nobody allowed it"


def _known(table: dict[str, Entry], path: str) -> Entry | None:
    return next((entry for pattern, entry in table.items() if re.fullmatch(pattern, path)), None)


def _package(wheel: Path) -> str:
    return wheel.name.split("-")[0]
