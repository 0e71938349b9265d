"""The real engine, as the add-on's tests meet it: its interpreter, and the sample avatar that it makes."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VARIABLE = "GAUSSIAN_HEADS_ENGINE_PYTHON"  # names the engine's interpreter; NONE where there is none
NONE = "none"


def engine_python() -> Path:
    """The engine's interpreter: the one that ``build.py test`` makes, unless the variable names another.

    Skips the test where the variable says that there is none.
    """
    named = os.environ.get(VARIABLE, "")
    if named == NONE:
        pytest.skip(f"It needs the engine's own Python, and {VARIABLE} says that there is none.")
    return Path(named or ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def sample_avatar() -> Path:
    """A small real avatar, made once by the engine from the sample photo and kept between runs."""
    path = ROOT / "build" / "tests" / "avatar.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = ROOT / "engine" / "assets" / "files" / "samples" / "astronaut.png"
        words = ["reconstruct", photo, "-o", path, "--name", "Astronaut", "--gaussians", "20000", "--refine", "0"]
        subprocess.run([engine_python(), "-m", "engine", *words], check=True, cwd=ROOT)
    return path
