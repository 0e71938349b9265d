"""What an index offers is believed only where the lock has the very file."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from building import locks
from building.environments import Environment, pins, project

pytestmark = pytest.mark.slow


def wheel(folder: Path, name: str, version: str, code: str, needs: str = "") -> Path:
    """A wheel of one module."""
    about = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (
        f"Requires-Dist: {needs}\n" if needs else ""
    )
    files = {
        f"{name}.py": code,
        f"{about}/METADATA": metadata,
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        for path, text in files.items()
    ]
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{about}/RECORD", "\n".join([*rows, f"{about}/RECORD,,"]) + "\n")
    return made


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of our own, and a lock of what it has."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(locks, "FOLDER", tmp_path / "locks")
    locks.FOLDER.mkdir()
    lines = [
        f"{path.name.split('-')[0]}==1.0 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in (wheel(folder, "reader", "1.0", "GOOD = 1", "helper"), wheel(folder, "helper", "1.0", "GOOD = 1"))
    ]
    (locks.FOLDER / "engine.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with pip and nothing else; making one takes longer than all else here."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def environment(bare: Path, tmp_path: Path) -> Environment:
    return Environment(shutil.copytree(bare, tmp_path / "venv", symlinks=True))


def test_the_locked_files_are_installed_and_newer_ones_wait(shelf: Path, environment: Environment) -> None:
    wheel(shelf, "helper", "2.0", "GOOD = 2")
    environment.install(["reader==1.0"])
    installed = {path.name for path in environment.folder.rglob("*.dist-info")}
    assert {"reader-1.0.dist-info", "helper-1.0.dist-info"} <= installed


@pytest.mark.parametrize("altered", ["reader", "helper"])
def test_an_altered_file_of_a_known_version_is_refused(shelf: Path, environment: Environment, altered: str) -> None:
    wheel(shelf, altered, "1.0", "import os; BAD = 1", "helper" if altered == "reader" else "")
    with pytest.raises(SystemExit, match="could not be installed"):
        environment.install(["reader==1.0"])
    assert not list(environment.folder.rglob("reader-1.0*"))


def test_a_package_that_nobody_asked_for_before_is_refused(shelf: Path, environment: Environment) -> None:
    wheel(shelf, "guest", "1.0", "BAD = 1")
    with pytest.raises(SystemExit, match=r"guest 1\.0 installed, which is not in locks"):
        environment.install(["reader==1.0", "guest==1.0"])


def test_every_pin_is_in_its_lock_with_hashes() -> None:
    for group in ("engine", *project()["optional-dependencies"]):
        names = ("blender-45", "blender-50") if group == "addon" else (group,) if "blender" in group else ("engine",)
        for lock in map(locks.read, names):
            for requirement in pins(group):
                name, _, version = requirement.partition(" ")[0].partition("==")  # what follows says where
                assert lock.of(name.partition("[")[0], version), requirement
    for path in locks.FOLDER.glob("*.txt"):
        lock = locks.read(path.stem)
        assert lock.lines and all(lock.hashes.values())
        assert "://" not in path.read_text()
