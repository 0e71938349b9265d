"""Collects the wheels that the engine needs on an artist's machine, which need not be like this one.

uv decides which versions fit, since it knows the markers of other platforms; pip, which knows this machine's indexes,
downloads them. Both only read metadata and archives: no package's code is run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from building import contents, locks, shell
from building.environments import ENGINE, pin, pins
from building.shell import BUILD, step

PYTHONS = ("3.11", "3.13", "3.14")  # Blender 4.2 to 5.0, 5.1 and newer, Debian's
# What Blender calls a platform: uv's name of it, the tags of its wheels. Blender 4.2 runs from glibc 2.28, as torch.
PLATFORMS = {
    "linux-x64": (
        "x86_64-manylinux_2_28",
        [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)]
        + [f"manylinux{year}_x86_64" for year in (2014, 2010, 1)],
    ),
    "windows-x64": ("x86_64-pc-windows-msvc", ["win_amd64"]),
    "macos-arm64": ("aarch64-apple-darwin", ["macosx_14_0_arm64"]),  # pip knows the older ones itself
}
MACOS = {"MACOSX_DEPLOYMENT_TARGET": "14.0"}  # for uv; torch's wheels need it
# What PyTorch adds to the version of the build; "" is the one on the plain registry.
TORCH_BUILDS = {
    ("linux-x64", "cpu"): "+cpu",
    ("linux-x64", "cuda"): "",
    ("windows-x64", "cpu"): "",
    ("windows-x64", "cuda"): "+cu130",
    ("macos-arm64", "cpu"): "",
}
# Required by others, imported by none of the engine's ways.
NOT_SHIPPED = (
    "pip",  # fetching data is build.py's
    "triton",  # 190 MB for torch.compile
    "networkx",  # for torch.compile
    "ninja",  # for compiling gsplat's kernels, which building/kernels.py does
    "setuptools",  # by which PyTorch would compile them
    "fsspec",  # file systems of others, for torch.distributed's checkpoints
    "flatbuffers",  # for onnxruntime's tools
    "markdown-it-py",  # Markdown in rich
    "mdurl",  # for markdown-it-py
    "sounddevice",  # microphones, for pocketsphinx
    "cffi",  # for sounddevice
    "pycparser",  # for cffi
)


def collect(platform: str, python: str, accelerator: str) -> tuple[Path, list[dict]]:
    """Download, once, all wheels that the engine needs; from the cache in ``build/wheels`` afterwards.

    Args:
        platform: as Blender calls it, a key of ``PLATFORMS``.
        python: such as ``"3.11"``.
        accelerator: ``cpu`` or ``cuda``.

    Returns:
        The folder, and one dict per wheel as in ``wheels/lock.json``; see :func:`describe`.
    """
    if (platform, accelerator) not in TORCH_BUILDS:
        raise SystemExit(f"There is no {accelerator} build of PyTorch for {platform}; use --accelerator cpu.")
    ours = [p for p in pins("engine", *["cuda"] * (accelerator == "cuda")) if _name(p) not in (*NOT_SHIPPED, "torch")]
    asked = {
        "wanted": [*ours, pin("torch") + TORCH_BUILDS[platform, accelerator]],
        "never": list(NOT_SHIPPED),
        "left_out": list(contents.LEFT_OUT),
    }
    folder = BUILD / "wheels" / f"{platform}-{tag(python)}-{accelerator}"
    return folder, _cached(folder, asked, platform, python)


def installer() -> tuple[Path, dict]:
    """The wheel of the library that installs wheels: its folder and its line of the lock."""
    return _single("tools", pin("installer", "package"))


def gsplat() -> tuple[Path, dict]:
    """The wheel with the sources of gsplat's kernels, the same for all: its folder and its line of the lock."""
    return _single("gsplat", pin("gsplat", "cuda"))


def tag(python: str) -> str:
    return f"cp{python.replace('.', '')}"


def _single(name: str, requirement: str) -> tuple[Path, dict]:
    """A wheel of pure Python without what it needs, downloaded once into a folder of its own."""
    folder, wanted = BUILD / "wheels" / name, [requirement]
    asked = {"wanted": wanted, "left_out": list(contents.LEFT_OUT)}
    if not (rows := _known(folder, asked)):
        _download(folder, wanted, "linux-x64", PYTHONS[0])
        rows = _remember(folder, asked, wanted)
    return folder, rows[0]


def _cached(folder: Path, asked: dict[str, list[str]], platform: str, python: str) -> list[dict]:
    if rows := _known(folder, asked):
        return rows
    step(f"Collecting the wheels for Python {python} on {platform}")
    folder.mkdir(parents=True, exist_ok=True)
    torch = asked["wanted"][-1]
    if "+" in torch:
        _download(
            folder, [torch], platform, python,
            f"{torch} is not on the plain registry. Point pip at an index or a folder that has PyTorch's builds "
            "(PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS), or take the other accelerator.",
        )  # fmt: skip
    resolved = _resolve(folder, asked, platform, python)
    _download(folder, resolved, platform, python)
    return _remember(folder, asked, resolved)


def _resolve(folder: Path, asked: dict[str, list[str]], platform: str, python: str) -> list[str]:
    """All that the wanted packages need, as exact pins."""
    for name, lines in {
        "wanted.txt": asked["wanted"],
        "never.txt": [f"{name}; python_version < '3'" for name in asked["never"]],
    }.items():
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    output = folder / "resolved.txt"
    words = ["--python-platform", PLATFORMS[platform][0], "--python-version", python, "--only-binary", ":all:"]
    words += ["--find-links", folder, "--override", folder / "never.txt", "--output-file", output]
    words += ["--no-header", "--no-annotate", "--no-python-downloads", "--upgrade", "--quiet"]
    (folder / "lock.txt").write_text("\n".join(locks.read("engine").lines) + "\n", "utf-8")
    words += ["--constraint", folder / "lock.txt"]
    if shell.run(ENGINE.bin / "uv", "pip", "compile", *words, folder / "wanted.txt", environment=MACOS):
        raise SystemExit(f"No set of wheels fits Python {python} on {platform}; uv's message above says why.")
    return [line for line in output.read_text("utf-8").splitlines() if "==" in line]


def _download(folder: Path, exact: list[str], platform: str, python: str, hint: str = "") -> None:
    words = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet", "--dest", folder]
    words += [word for name in PLATFORMS[platform][1] for word in ("--platform", name)]
    words += ["--implementation", "cp", "--python-version", python]
    words += [word for abi in (tag(python), "abi3", "none") for word in ("--abi", abi)]
    exact = [line.replace("==", "===") for line in exact]  # two of them would also take another build: 2.13.0+cpu
    if shell.run(ENGINE.python, "-m", "pip", "download", *words, *exact):
        raise SystemExit(hint or "The wheels could not be downloaded; pip's message above says why.")


def _known(folder: Path, asked: dict[str, list[str]]) -> list[dict]:
    """The wheels of an earlier run that asked the same, as long as all of them are there."""
    listing = folder / "wheels.json"
    if listing.exists():
        known = json.loads(listing.read_text("utf-8"))
        if known.get("asked") == asked and all((folder / row["file"]).exists() for row in known["wheels"]):
            return known["wheels"]
    return []


def _remember(folder: Path, asked: dict[str, list[str]], resolved: list[str]) -> list[dict]:
    """List the wheels of the resolved pins, remove others, and keep the list for the next run."""
    files = {_identity(*path.name.split("-")[:2]): path for path in folder.glob("*.whl")}
    chosen = [files.pop(_identity(*line.split("=="))) for line in resolved]
    for path in files.values():
        path.unlink()
    rows = [describe(path, asked["left_out"]) for path in chosen]
    lock = locks.read("engine")
    for line, row in zip(resolved, rows, strict=True):
        name, _, version = line.partition("==")
        _check(lock, name, version, row["sha256"])
    (folder / "wheels.json").write_text(json.dumps({"asked": asked, "wheels": rows}, indent=1), "utf-8")
    return rows


def _check(lock: locks.Lock, name: str, version: str, digest: str) -> None:
    """Refuse a wheel that is not the lock's; builds that only PyTorch's own index has are not in it."""
    if digest not in lock.of(name, version):
        if "+" not in version:
            raise SystemExit(f"The index's {name} {version} is not the one in locks/. {locks.REMEDY}")
        print(f"{name} {version} comes from an index of its own; its sha256 is {digest}.")


def describe(path: Path, left_out: Iterable[str] = contents.LEFT_OUT) -> dict:
    """The line of ``wheels/lock.json`` for a wheel: its file's name, size and sha256, and of what is unpacked of it the
    bytes (``unpacked``), how many ``files``, and the characters of the ``longest`` path below the packages' folder."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept = contents.kept(path, left_out)
    return {
        "file": path.name,
        "size": path.stat().st_size,
        "sha256": digest,
        "unpacked": sum(info.file_size for info in kept),
        "files": len(kept),
        "longest": max((len(contents.unpacked_path(info.filename)) for info in kept), default=0),
    }


def _name(requirement: str) -> str:
    return requirement.split("==")[0]


def _identity(name: str, version: str) -> tuple[str, str]:
    return re.sub(r"[-_.]+", "-", name).lower(), version
