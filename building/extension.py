"""Builds the extension's zip: the add-on, the engine with its data files, and the engine's wheels."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

from building import contents, environments, gates, kernels, shell, wheels
from building.environments import ENGINE, pins
from building.shell import BUILD, ROOT, step
from engine import assets
from engine.assets.pins import packages

IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", *kernels.FILES)
BUILDER_GROUP = "blender-50"  # whose Blender builds and validates


def package(platform: str, pythons: list[str], accelerator: str, output: Path, compiled: Path | None = None) -> Path:
    """Build and validate the zip; returns where it is.

    Args:
        platform: as Blender calls it, such as ``"linux-x64"``.
        pythons: versions of Blender's Python to carry wheels for, such as ``["3.11", "3.13"]``.
        accelerator: ``cpu`` or ``cuda``.
        output: folder of the zip, made where necessary.
        compiled: the folder of :func:`building.kernels.compiled`; without it, CUDA's edition draws on the CPU too.
    """
    ENGINE.install(pins("engine", "package"))
    if shell.run(ENGINE.python, "-m", "engine.assets", "engine"):
        raise SystemExit("The data files could not be fetched; the message above says why.")
    tags = [wheels.tag(python) for python in pythons]
    oldest = wheels.MACOS["MACOSX_DEPLOYMENT_TARGET"]
    system = platform.replace("macos", f"macos{oldest.partition('.')[0]}")  # who downloads it sees what it needs
    name = f"gaussian_heads-{environments.project()['version']}-{system}-{accelerator}-{'.'.join(tags)}"
    stage = BUILD / "stage" / name
    shutil.rmtree(stage, ignore_errors=True)
    step(f"Staging {name}")
    stage_code(stage, platform)
    if shell.run(ENGINE.python, "-m", "building.guide", stage / "guide"):
        raise SystemExit("The guide's pages could not be made; the message above says why.")
    stage_assets(stage / "engine" / "assets" / "files")
    about: dict = {"version": 2, "platform": platform, "macos": oldest}
    if compiled:
        kernels.place(compiled, stage)
        about["kernels"] = json.loads((compiled / kernels.LIST).read_text("utf-8"))
    collected = {}
    for python in pythons:
        collected[wheels.tag(python)] = folder, rows = wheels.collect(platform, python, accelerator)
        gates.check(platform, python, accelerator, folder, rows)
    about |= {"accelerator": accelerator, "engine": _digest(stage / "engine")}
    stage_wheels(stage / "wheels", about, wheels.installer(), collected)
    step("Building with Blender's own builder")
    archive = output.absolute() / f"{name}.zip"
    build(stage, archive)
    shutil.rmtree(stage)
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    print(f"{archive}\n{archive.stat().st_size / 1e6:.0f} MB, sha256 {digest}")
    if compiled:
        print("For the GPU the machine needs NVIDIA's driver (CUDA 13), no more; without one the engine uses the CPU.")
    return archive


def stage_code(stage: Path, platform: str) -> None:
    """The add-on's files and the manifest at the top, the engine's code beside them."""
    shutil.copytree(ROOT / "blender_addon", stage, ignore=IGNORED)
    shutil.copytree(ROOT / "engine", stage / "engine", ignore=_without_data)
    shutil.copy(ROOT / "LICENSE", stage)
    shutil.copy(ROOT / "docs" / "licences.md", stage / "LICENCES.md")
    # Keys must stand before the first table. Which platforms depends on the wheels, so the source names none.
    head, table, tail = (ROOT / "blender_manifest.toml").read_text("utf-8").partition("\n[")
    (stage / "blender_manifest.toml").write_text(f'{head}\nplatforms = ["{platform}"]\n{table}{tail}', "utf-8")


def stage_assets(folder: Path) -> None:
    """The engine's data files, and the default head built from them, so that no artist waits for it."""
    for member in (member for package in packages() if package.group == "engine" for member in package.members):
        source, target = assets.path(member.name), folder / member.name
        for file in [f for f in source.iterdir() if f.is_file()] if source.is_dir() else [source]:
            _link(file, target / file.relative_to(source))
    code = [*sorted((ROOT / "engine" / "heads").rglob("*.py")), ROOT / "engine" / "assets" / "pins.toml"]
    made = BUILD / "heads" / hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()[:16]
    if not made.exists():
        step("Building the default head (half a minute)")
        fresh = made.with_suffix(".part")
        shutil.rmtree(fresh, ignore_errors=True)
        environment = {"GAUSSIAN_HEADS_ASSETS": str(folder), "GAUSSIAN_HEADS_CACHE": str(fresh)}
        if shell.run(ENGINE.python, "-m", "engine.heads", environment=environment):
            raise SystemExit("The default head could not be built; the message above says why.")
        fresh.rename(made)
    shutil.copytree(made, folder / "cache")


def stage_wheels(
    folder: Path, about: dict, installer: tuple[Path, dict], collected: dict[str, tuple[Path, list[dict]]]
) -> None:
    """All wheels, those that several Pythons share once, and the list that the extension unpacks them by.

    Args:
        about: further entries of the list; ``engine`` names the version of the engine's code, ``kernels`` the file of
            kernels for graphics cards, as the engine's own list does.
        installer: folder and line of the library that installs them.
        collected: per tag of a Python (``cp311``) the folder and the lines of its wheels.
    """
    folder.mkdir(parents=True)
    for source, rows in [(installer[0], [installer[1]]), *collected.values()]:
        for row in rows:
            if not (folder / row["file"]).exists():
                _link(source / row["file"], folder / row["file"])
    lock = {"left_out": contents.LEFT_OUT} | about | {"installer": installer[1]}
    lock |= {"pythons": {tag: rows for tag, (_, rows) in collected.items()}}
    (folder / "lock.json").write_text(json.dumps(lock, indent=1), "utf-8")


def build(stage: Path, archive: Path) -> None:
    """Build the zip with the builder that Blender brings, and let it validate the result."""
    environment = environments.blender(BUILDER_GROUP)
    if environment is None:
        raise SystemExit("Blender's builder comes with its Python module, which needs Python 3.11.")
    builder = next(environment.folder.rglob("bl_pkg/cli/blender_ext.py"))
    archive.parent.mkdir(parents=True, exist_ok=True)
    for words in (("build", "--source-dir", stage, "--output-filepath", archive), ("validate", archive)):
        if shell.run(ENGINE.python, builder, *words):
            raise SystemExit(f"Blender's builder refuses to {words[0]} the extension; its message above says why.")


def _link(source: Path, target: Path) -> None:
    """Copies a file without doubling its bytes, where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without hard links
        shutil.copy(source, target)


def _without_data(folder: str, names: list[str]) -> set[str]:
    ignored = set(IGNORED(folder, names))
    return ignored | {"files"} if Path(folder) == ROOT / "engine" / "assets" else ignored


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.safetensors")]):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
