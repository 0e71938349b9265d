"""build.py does its work once, installs exact versions, and says what a bare machine lacks."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

import build
from building import environments, locks, shell, testing
from building.environments import Environment
from building.locks import Lock
from building.shell import Ended


def test_every_dependency_is_pinned_exactly() -> None:
    groups = ("engine", *environments.project()["optional-dependencies"])
    for requirement in environments.pins(*groups):
        assert re.fullmatch(r"[\w-]+(\[\w+\])?==[\w.]+( ; python_version < '3\.\d+')?", requirement)
    assert [environments.pin("pip")] == [r for r in environments.pins("engine") if r.startswith("pip==")]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """The commands that would have been run."""
    ran: list[tuple] = []
    monkeypatch.setattr(locks, "read", lambda name: Lock((), dict.fromkeys(("a==1", "a==2", "b==1"), frozenset("0"))))

    def run(*command, environment=None) -> int:
        if "--report" in command:
            needed = [
                dict(zip(("name", "version"), word.split("=="), strict=True)) for word in command if "==" in str(word)
            ]
            report = {"install": [{"metadata": entry} for entry in needed]}
            Path(command[command.index("--report") + 1]).write_text(json.dumps(report))
            return 0
        ran.append(command)
        if "--requirement" in command:
            ran[-1] = (*command, Path(command[-1]).read_text())
        if "venv" in command:
            python = Environment(command[-1]).python
            python.parent.mkdir(parents=True)
            python.touch()
        return 0

    monkeypatch.setattr(shell, "run", run)
    return ran


def test_the_environment_is_made_once_and_grows_with_what_is_asked(commands: list[tuple], tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install(["a==1"])
    assert [c[1:3] for c in commands] == [("-m", "venv"), ("-m", "pip")]
    environment.install(["a==1"])
    assert len(commands) == 2
    environment.install(["a==1", "b==1"])
    environment.install(["a==1"])  # is there already
    assert len(commands) == 3
    environment.install(["a==2"])  # another pin
    assert commands[-1][-1].startswith("a==2 --hash=sha256:")


def test_a_failed_installation_is_tried_again(
    commands: list[tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install(["a==1"])
    works = shell.run
    monkeypatch.setattr(shell, "run", lambda *command: 1)
    with pytest.raises(SystemExit, match="could not be installed"):
        environment.install(["b==1"])
    monkeypatch.setattr(shell, "run", works)
    environment.install(["a==1"])
    assert commands[-1][-1].startswith("a==1 ")
    assert len(commands) == 3


def test_a_missing_system_library_is_named_with_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments.sys, "platform", "linux")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(SystemExit, match="apt-get install libabsent7"):
        environments.check_libraries({"libabsent.so.7": "libabsent7"})


@pytest.mark.parametrize("failing", ["ruff", "pyright", "pytest"])
def test_one_failed_check_fails_the_test_command(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def run(*command, environment=None) -> int:
        ran.append(" ".join(map(str, command)))
        return int(failing in ran[-1].split())

    monkeypatch.setattr(build, "run", run)
    monkeypatch.setattr(shell, "run", run)
    monkeypatch.setattr(Environment, "install", lambda self, wanted: None)
    assert build.main(["test", "-k", "nose"]) == 1
    assert ran[-1].endswith("-k nose")


def test_commands_that_run_together_tell_their_output_one_after_the_other(capfd: pytest.CaptureFixture) -> None:
    say = "import sys, time; [print(sys.argv[1], flush=True) or time.sleep(0.05) for _ in range(5)]; sys.exit({})"
    commands = {name: (sys.executable, "-c", say.format(code), name) for name, code in (("one", 0), ("two", 3))}
    ended = shell.run_together(commands, 2)
    assert {name: end.code for name, end in ended.items()} == {"one": 0, "two": 3}
    assert all(end.seconds >= 0.25 for end in ended.values())
    words = [line for line in capfd.readouterr().out.split() if line in commands]
    assert (
        sorted(words) == ["one"] * 6 + ["two"] * 6 and sum(a != b for a, b in zip(words, words[1:], strict=False)) == 1
    )


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Ended]:
    """How each lane ends that is run; any other ends well."""
    outcomes: dict[str, Ended] = {}

    def run_together(commands, at_once: int) -> dict[str, Ended]:
        assert {words[-1] for words in commands.values()} == set(commands)
        return {name: outcomes.get(name, Ended(0, 90.0)) for name in commands}

    monkeypatch.setattr(shell, "run_together", run_together)
    monkeypatch.setattr(testing, "REPORTS", tmp_path)
    monkeypatch.setattr(testing, "LANES", {name: testing.Lane(lambda: True) for name in testing.LANES})
    return outcomes


def test_one_failed_lane_fails_them_all(lanes: dict[str, Ended], capfd: pytest.CaptureFixture) -> None:
    assert testing.run_lanes(["engine", "windows"]) == 0
    lanes["windows"] = Ended(1, 90.0)
    assert testing.run_lanes(["engine", "windows"]) == 1
    assert capfd.readouterr().err.endswith("Failed: windows\n")


def test_what_cannot_run_is_said_and_passes_alone_nothing(
    lanes: dict[str, Ended], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(testing.LANES, "windows", testing.Lane(lambda: True, lambda: "this needs root."))
    assert testing.run_lanes(["engine", "windows"]) == 0
    assert testing.run_lane("windows") == 1
    told = capfd.readouterr()
    assert told.err.count("SKIPPED windows: this needs root.") == 2
    assert "windows" not in told.out  # no time is told of it


def test_the_table_names_the_slowest_tests_of_all_lanes(tmp_path: Path) -> None:
    for lane, times in (("engine", range(20)), ("windows", (15.5,))):
        cases = "".join(f'<testcase classname="tests.a" name="b{time}" time="{time}"/>' for time in times)
        (tmp_path / f"{lane}.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    lines = testing.table({name: Ended(0, 61.7) for name in ("engine", "windows", "checks")}, tmp_path)
    head, slowest = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert [line.split() for line in head] == [
        ["62", "s", "engine", "20"], ["62", "s", "windows", "1"], ["62", "s", "checks"],
    ]  # fmt: skip
    assert len(slowest) == testing.SLOWEST
    assert [line.split() for line in slowest[3:5]] == [
        ["16.0", "s", "engine", "tests.a::b16"], ["15.5", "s", "windows", "tests.a::b15.5"],
    ]  # fmt: skip
