"""Collects the wheels that the engine needs on an artist's machine, which need not be like this one.

uv decides which versions fit, since it knows the markers of other platforms; pip, which knows this machine's indexes,
downloads them. Both only read metadata and archives: no package's code is run.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path

from building import shell
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
# Required by others, used by none here: fetching data is build.py's, triton (190 MB) is torch.compile's.
NOT_SHIPPED = ("pip", "triton")


def collect(platform: str, python: str, accelerator: str) -> tuple[Path, list[dict]]:
    """Download, once, all wheels that the engine needs; from the cache in ``build/wheels`` afterwards.

    Args:
        platform: as Blender calls it, a key of ``PLATFORMS``.
        python: such as ``"3.11"``.
        accelerator: ``cpu`` or ``cuda``.

    Returns:
        The folder, and one dict per wheel as in ``wheels/lock.json``: file, size, sha256, unpacked.
    """
    if (platform, accelerator) not in TORCH_BUILDS:
        raise SystemExit(f"There is no {accelerator} build of PyTorch for {platform}; use --accelerator cpu.")
    torch = pin("torch") + TORCH_BUILDS[platform, accelerator]
    wanted = [p for p in pins("engine", *["cuda"] * (accelerator == "cuda")) if _name(p) not in (*NOT_SHIPPED, "torch")]
    folder = BUILD / "wheels" / f"{platform}-{tag(python)}-{accelerator}"
    return folder, _cached(folder, [*wanted, torch], platform, python)


def installer() -> tuple[Path, dict]:
    """The wheel of the library that installs wheels: its folder and its line of the lock."""
    folder = BUILD / "wheels" / "tools"
    wanted = pin("installer", "package")
    if not (rows := _known(folder, [wanted])):
        _download(folder, [wanted], "linux-x64", PYTHONS[0])
        rows = _remember(folder, [wanted], [wanted])
    return folder, rows[0]


def tag(python: str) -> str:
    return f"cp{python.replace('.', '')}"


def _cached(folder: Path, wanted: list[str], platform: str, python: str) -> list[dict]:
    if rows := _known(folder, wanted):
        return rows
    step(f"Collecting the wheels for Python {python} on {platform}")
    folder.mkdir(parents=True, exist_ok=True)
    torch = wanted[-1]
    if "+" in torch:
        _download(
            folder, [torch], platform, python,
            f"{torch} is not on the plain registry. Point pip at an index or a folder that has PyTorch's builds "
            "(PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS), or take the other accelerator.",
        )  # fmt: skip
    resolved = _resolve(folder, wanted, platform, python)
    _download(folder, resolved, platform, python)
    return _remember(folder, wanted, resolved)


def _resolve(folder: Path, wanted: list[str], platform: str, python: str) -> list[str]:
    """All that the wanted packages need, as exact pins."""
    for name, lines in {
        "wanted.txt": wanted,
        "never.txt": [f"{name}; python_version < '3'" for name in NOT_SHIPPED],
    }.items():
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    output = folder / "resolved.txt"
    words = ["--python-platform", PLATFORMS[platform][0], "--python-version", python, "--only-binary", ":all:"]
    words += ["--find-links", folder, "--override", folder / "never.txt", "--output-file", output]
    words += ["--no-header", "--no-annotate", "--no-python-downloads", "--upgrade", "--quiet"]
    if shell.run(ENGINE.bin / "uv", "pip", "compile", *words, folder / "wanted.txt", environment=MACOS):
        raise SystemExit(f"No set of wheels fits Python {python} on {platform}; uv's message above says why.")
    return [line for line in output.read_text("utf-8").splitlines() if "==" in line]


def _download(folder: Path, exact: list[str], platform: str, python: str, hint: str = "") -> None:
    words = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet", "--dest", folder]
    words += [word for name in PLATFORMS[platform][1] for word in ("--platform", name)]
    words += ["--implementation", "cp", "--python-version", python]
    words += [word for abi in (tag(python), "abi3", "none") for word in ("--abi", abi)]
    if shell.run(ENGINE.python, "-m", "pip", "download", *words, *exact):
        raise SystemExit(hint or "The wheels could not be downloaded; pip's message above says why.")


def _known(folder: Path, wanted: list[str]) -> list[dict]:
    """The wheels of an earlier run for the same pins, as long as all of them are there."""
    listing = folder / "wheels.json"
    if listing.exists():
        known = json.loads(listing.read_text("utf-8"))
        if known["wanted"] == wanted and all((folder / row["file"]).exists() for row in known["wheels"]):
            return known["wheels"]
    return []


def _remember(folder: Path, wanted: list[str], resolved: list[str]) -> list[dict]:
    """List the wheels of the resolved pins, remove others, and keep the list for the next run."""
    files = {_identity(*path.name.split("-")[:2]): path for path in folder.glob("*.whl")}
    chosen = [files.pop(_identity(*line.split("=="))) for line in resolved]
    for path in files.values():
        path.unlink()
    rows = [describe(path) for path in chosen]
    (folder / "wheels.json").write_text(json.dumps({"wanted": wanted, "wheels": rows}, indent=1), "utf-8")
    return rows


def describe(path: Path) -> dict:
    """The line of ``wheels/lock.json`` for a wheel."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(info.file_size for info in archive.infolist())
    return {"file": path.name, "size": path.stat().st_size, "sha256": digest, "unpacked": unpacked}


def _name(requirement: str) -> str:
    return requirement.split("==")[0]


def _identity(name: str, version: str) -> tuple[str, str]:
    return re.sub(r"[-_.]+", "-", name).lower(), version
