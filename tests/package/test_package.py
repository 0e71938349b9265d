"""The zip that build.py package makes: what is in it, what is not, and that it unpacks on a bare machine."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from building import binaries, contents, extension, gates, kernels, wheels
from building.environments import pins, project
from engine.assets.pins import packages
from tests.standins import TAG, make_installer_wheel, make_wheel

ROOT = Path(__file__).parents[2]
KERNELS = b"made for this test"
PYTHON = "{}.{}".format(*sys.version_info)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("installer") is None or not list((ROOT / "build").glob("bpy-5*")),
    reason="needs what build.py package installs",
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CUDA's zip for two Pythons, one of them this one, with tiny wheels and kernels instead of the real ones."""
    folder = tmp_path_factory.mktemp("package")
    shared = make_wheel(folder / "wheels", "shared", {"shared.py": b"WORD = 'hello'\n"})
    only = make_wheel(folder / "wheels", "only", {"only.py": b"from shared import WORD\n"})
    tools = make_installer_wheel(folder / "tools")
    collected = {
        PYTHON: (shared.parent, [wheels.describe(path) for path in (shared, only)]),
        "3.99": (shared.parent, [wheels.describe(shared)]),
    }
    compiled = folder / "kernels"
    compiled.mkdir()
    (compiled / kernels.BINARY).write_bytes(KERNELS)
    (compiled / kernels.LIST).write_text(json.dumps({"file": kernels.BINARY, "sha256": sha256(KERNELS).hexdigest()}))
    checked = []
    check = gates.check
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binaries, "FOLDER", folder / "binaries")
        patch.setattr(wheels, "collect", lambda platform, python, accelerator: collected[python])
        patch.setattr(wheels, "installer", lambda: (tools.parent, wheels.describe(tools)))
        patch.setattr(gates, "check", lambda *words: checked.append(words) or check(*words))
        zipped = extension.package("linux-x64", [PYTHON, "3.99"], "cuda", folder / "dist", compiled)
    assert checked == [("linux-x64", python, "cuda", *collected[python]) for python in (PYTHON, "3.99")]
    return zipped


@pytest.mark.slow
def test_it_holds_the_addon_the_engine_its_data_and_each_wheel_once(archive: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        names = content.namelist()
        manifest = tomllib.loads(content.read("blender_manifest.toml").decode())
        lock = json.loads(content.read("wheels/lock.json"))
        image = content.read(f"{kernels.PLACE.as_posix()}/{kernels.BINARY}")
        sizes = {info.filename: info.file_size for info in content.infolist()}
    assert len(names) == len(set(names))
    assert {
        "__init__.py",
        "preferences.py",
        "engine_client/unpack.py",
        "engine/__main__.py",
        "LICENSE",
        "guide/index.html",
    } <= set(names)
    for member in (member for package in packages() if package.group == "engine" for member in package.members):
        inside = f"engine/assets/files/{member.name}"
        assert (
            sum(size for name, size in sizes.items() if name == inside or name.startswith(f"{inside}/")) == member.size
        )
    assert len([name for name in names if name.startswith("engine/assets/files/cache/makehuman-")]) == 1
    assert not [name for name in names if "__pycache__" in name or "samples/" in name or "clips/" in name]
    assert not [name for name in names if name.split("/")[0] in ("tests", "building", "build.py", "docs")]

    assert manifest["platforms"] == ["linux-x64"]
    assert "wheels" not in manifest  # Blender itself is to install none of them
    assert manifest["version"] == project()["version"]
    assert all(len(reason) <= 64 for reason in manifest["permissions"].values())
    assert lock["version"] == 2
    assert image == KERNELS and lock["kernels"]["sha256"] == sha256(image).hexdigest()
    assert lock["left_out"] == list(contents.LEFT_OUT)
    assert [row["file"].split("-")[0] for row in lock["pythons"][TAG]] == ["shared", "only"]
    listed = {row["file"] for rows in lock["pythons"].values() for row in rows} | {lock["installer"]["file"]}
    assert {f"wheels/{file}" for file in listed} == {name for name in names if name.endswith(".whl")}


@pytest.mark.slow
def test_its_engine_runs_from_a_read_only_folder_with_nothing_else_installed(archive: Path, tmp_path: Path) -> None:
    installed, user = tmp_path / "installed", tmp_path / "user"
    with zipfile.ZipFile(archive) as content:
        content.extractall(installed)
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    unpacked = subprocess.run(
        [python, "-I", installed / "engine_client" / "unpack.py", installed, user], capture_output=True, check=True
    )
    site = json.loads(unpacked.stdout.splitlines()[-1])["site"]
    said = subprocess.run(
        [python, "-c", "import only; print(only.WORD)"],
        env=os.environ | {"PYTHONPATH": site}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said == "hello\n"

    # The engine's own dependencies are not in these wheels: borrow this environment's, but the zip's engine and data.
    script = (
        "import engine, sys; from engine.heads import load_head; head = load_head();"
        "print(engine.__file__, len(head.expression_names))"
    )
    environment = os.environ | {"GAUSSIAN_HEADS_CACHE": str(user / "cache"), "GAUSSIAN_HEADS_ASSETS": ""}
    said = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=environment | {"PYTHONPATH": str(installed)}, cwd=user, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.splitlines()[-1] == f"{installed / 'engine' / '__init__.py'} 52"
    assert not (user / "cache").exists()  # the head came ready-made in the zip


def test_it_asks_for_exactly_what_is_pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands: list[list[str]] = []

    def run(*command, environment=None) -> int:
        words = [str(word) for word in command]
        commands.append(words)
        folder = tmp_path / "wheels" / f"linux-x64-{wheels.tag('3.13')}-cpu"
        if "compile" in words:
            wanted = (folder / "wanted.txt").read_text("utf-8").split()
            (folder / "resolved.txt").write_text("\n".join([*wanted, "needed-too==2.0"]), "utf-8")
        else:
            for pin in (word for word in words if "==" in word):
                make_wheel(folder, pin.split("===")[0].replace("-", "_"), {}, pin.split("===")[1])
        return 0

    monkeypatch.setattr(wheels, "BUILD", tmp_path)
    monkeypatch.setattr(wheels.shell, "run", run)
    with pytest.raises(SystemExit, match=r"fastapi .* is not the one in locks"):  # these are made up
        wheels.collect("linux-x64", "3.13", "cpu")
    monkeypatch.setattr(wheels, "_check", lambda *row: None)
    _, rows = wheels.collect("linux-x64", "3.13", "cpu")

    got = {row["file"].split("-")[0].replace("_", "-"): row["file"].split("-")[1] for row in rows}
    expected = dict(pin.partition(" ")[0].split("==") for pin in pins("engine")) | {"needed-too": "2.0"}
    expected["torch"] += "+cpu"
    assert got == {name: version for name, version in expected.items() if name != "pip"}
    assert "manylinux_2_28_x86_64" in commands[-1]
    assert "manylinux_2_39_x86_64" not in commands[-1]

    commands.clear()
    assert wheels.collect("linux-x64", "3.13", "cpu")[1] == rows
    assert commands == []  # the second time, nothing is asked of the network


def test_there_is_no_cuda_on_a_mac() -> None:
    with pytest.raises(SystemExit, match="no cuda build of PyTorch for macos-arm64"):
        wheels.collect("macos-arm64", "3.13", "cuda")
