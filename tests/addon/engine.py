"""The real engine, as the add-on's tests meet it: its Python, what it says, and the sample avatar that it makes."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[2]
# Names the engine's interpreter, or the address of one that answers questions only (see tests/windows/questions.py).
VARIABLE = "GAUSSIAN_HEADS_ENGINE_PYTHON"
SECONDS = 300


def engine_python() -> Path:
    """The engine's interpreter: the one that ``build.py test`` makes, unless the variable names another.

    Skips the test where there is none that could be started here.
    """
    named = os.environ.get(VARIABLE, "")
    if named.startswith("http"):
        pytest.skip(f"It starts an engine of its own, and {VARIABLE} names one that only answers questions.")
    return Path(named or ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def ask_engine(*words: str | Path, question: str = "") -> str:
    """What the engine's Python prints when it is run on these words.

    Args:
        question: for its standard input.
    """
    named = os.environ.get(VARIABLE, "")
    if named.startswith("http"):
        answer = requests.post(named, json={"words": list(map(str, words)), "question": question}, timeout=SECONDS)
        assert answer.ok, answer.text
        return answer.text
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    options = {"input": question, "encoding": "utf-8", "stdout": subprocess.PIPE, "timeout": SECONDS}
    return subprocess.run([engine_python(), *words], cwd=ROOT, env=environment, check=True, **options).stdout


def sample_avatar() -> Path:
    """A small real avatar, made once by the engine as it stands from the sample photo and kept between runs."""
    sources = sorted((ROOT / "engine").rglob("*.py"), key=Path.as_posix)  # the same order on Windows
    made_by = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    path = ROOT / "build" / "tests" / f"avatar_{made_by[:12]}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        for older in set(path.parent.glob("avatar*.npz")) - {path}:  # another Blender's tests may be making it, too
            older.unlink(missing_ok=True)
        photo = ROOT / "engine" / "assets" / "files" / "samples" / "astronaut.png"
        options = ("--name", "Astronaut", "--gaussians", "20000", "--refine", "0")
        ask_engine("-m", "engine", "reconstruct", photo, "-o", path, *options)
    return path
