"""build.py does its work once, installs exact versions, and says what a bare machine lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import build


def test_every_dependency_is_pinned_exactly() -> None:
    for requirement in build.requirements("dev", "cuda"):
        assert re.fullmatch(r"[\w-]+(\[\w+\])?==[\w.]+", requirement)
    assert build.requirements(only="pip") == [r for r in build.requirements() if r.startswith("pip==")]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """The commands that build.py would have run, with an environment of this test's own."""
    ran: list[tuple] = []
    python = tmp_path / "bin" / "python"

    def run(*command) -> int:
        ran.append(command)
        if "venv" in command:
            python.parent.mkdir()
            python.touch()
        return 0

    monkeypatch.setattr(build, "run", run)
    monkeypatch.setattr(build, "PYTHON", python)
    monkeypatch.setattr(build, "INSTALLED", tmp_path / "installed.json")
    return ran


def test_the_environment_is_made_once_and_grows_with_what_is_asked(commands: list[tuple]) -> None:
    build.install(["a==1"])
    assert [c[1:3] for c in commands] == [("-m", "venv"), ("-m", "pip")]
    build.install(["a==1"])
    assert len(commands) == 2
    build.install(["a==1", "b==1"])
    build.install(["a==1"])  # is there already
    assert len(commands) == 3
    build.install(["a==2"])  # another pin
    assert commands[-1][-1] == "a==2"


def test_a_failed_installation_is_tried_again(commands: list[tuple], monkeypatch: pytest.MonkeyPatch) -> None:
    build.install(["a==1"])
    works = build.run
    monkeypatch.setattr(build, "run", lambda *command: 1)
    with pytest.raises(SystemExit, match="could not be installed"):
        build.install(["b==1"])
    monkeypatch.setattr(build, "run", works)
    build.install(["a==1"])
    assert commands[-1][-1] == "a==1"
    assert len(commands) == 3


def test_a_missing_system_library_is_named_with_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "LIBRARIES", {"libabsent.so.7": "libabsent7"})
    monkeypatch.setattr(build.sys, "platform", "linux")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(SystemExit, match="apt-get install libabsent7"):
        build.check_libraries()


@pytest.mark.parametrize("failing", ["ruff", "pyright", "pytest"])
def test_one_failed_check_fails_the_test_command(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def run(*command) -> int:
        ran.append(" ".join(map(str, command)))
        return int(failing in ran[-1].split())

    monkeypatch.setattr(build, "run", run)
    monkeypatch.setattr(build, "install", lambda wanted: None)
    monkeypatch.setattr(build, "check_libraries", lambda: None)
    assert build.main(["test", "-k", "nose"]) == 1
    assert ran[-1].endswith("pytest -k nose")
