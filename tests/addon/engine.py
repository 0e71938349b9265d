"""The real engine, as the add-on's tests meet it: its Python, what it says, and the sample avatar that it makes."""

import atexit
import functools
import hashlib
import json
import os
import subprocess
import threading
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
    """What the engine's Python prints when it is run on these words: a script or ``-c``, and arguments.

    Args:
        question: for its standard input.
    """
    words = tuple(map(str, words))
    named = os.environ.get(VARIABLE, "")
    if named.startswith("http"):
        answer = requests.post(named, json={"words": words, "question": question}, timeout=SECONDS)
        assert answer.ok, answer.text
        return answer.text
    first, *arguments = words
    code = arguments.pop(0) if first == "-c" else Path(first).read_text("utf-8")
    return _respondent().answer(code, arguments, question)


RESPOND = """
import contextlib, io, json, os, sys, traceback
asked, answers = sys.stdin, os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)  # what a library prints by itself is no answer
for line in asked:
    code, arguments, question = json.loads(line)
    sys.argv, sys.stdin = ["-c", *arguments], io.StringIO(question)
    said, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(code, "question", "exec"), {"__name__": "__main__"})
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps([said.getvalue(), error]), file=answers, flush=True)
"""


class _Respondent:
    """A process with the engine's Python that runs one piece of code after the other: PyTorch is imported once."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._process = subprocess.Popen(
            [engine_python(), "-c", RESPOND], cwd=ROOT, env=_environment(), encoding="utf-8", stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        atexit.register(self._process.stdin.close)  # which ends it

    def answer(self, code: str, arguments: list[str], question: str) -> str:
        with self._alone:
            patience = threading.Timer(SECONDS, self._process.kill)
            patience.start()
            print(json.dumps([code, arguments, question]), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
            patience.cancel()
        said, error = json.loads(line) if line else ("", "The engine's Python has ended.")
        if error:
            raise subprocess.SubprocessError(error)
        return said


@functools.cache
def _respondent() -> _Respondent:
    return _Respondent()


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


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
        words = (engine_python(), "-m", "engine", "reconstruct", photo, "-o", path, *options)
        subprocess.run(words, cwd=ROOT, env=_environment(), check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)
    return path
