"""Every command is found by its name, says what it takes, and costs nobody time who asked for another."""

import os
import pkgutil
import subprocess
import sys

import pytest

from engine import commands
from engine.cli import main
from engine.commands import COMMANDS, module_of
from engine.systems import networks, systems

COMMON = {"options", "shared"}  # modules that are no commands
LARGE = {"torch", "numba", "cv2", "scipy", "uvicorn", "engine.pipeline"}


def help_of(capsys, *words: str) -> str:
    """What ``--help`` prints after ``words``, in one line."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_every_module_is_in_the_table():
    assert {module.name for module in pkgutil.iter_modules(commands.__path__)} - COMMON == set(map(module_of, COMMANDS))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_takes(name, capsys):
    said = help_of(capsys, name)
    assert said.startswith(f"usage: python -m engine {name} [-h] ")
    assert COMMANDS[name] in said


@pytest.mark.parametrize(("name", "registered"), [("reconstruct", systems), ("train", networks), ("ablate", networks)])
def test_the_systems_are_named(name, registered, capsys):
    said = help_of(capsys, name)
    assert [system for system in registered() if system not in said] == []


@pytest.mark.parametrize("words", [["--help"], ["serve", "--help"]])
def test_nothing_large_is_imported_for(words):
    run = [sys.executable, "-X", "importtime", "-m", "engine", *words]
    done = subprocess.run(run, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"}, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "engine.cli" in imported and not LARGE & imported
    if words == ["--help"]:
        assert all(name in done.stdout and text in done.stdout for name, text in COMMANDS.items())


@pytest.mark.parametrize("words", [["nonsense"], ["", "inspect"], ["--nonsense"], []])
def test_no_such_command(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: python -m engine ") and "error: " in said
