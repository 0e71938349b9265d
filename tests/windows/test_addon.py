"""The add-on's own tests in Blender's Windows module: those of processes, paths, files and what artists choose there.

What only Blender computes (rig, viewport, animation) is the same code on every system and is tested on Linux, twice;
here it is met in an artist's day (:mod:`tests.windows.test_engine`).
"""

from __future__ import annotations

import os
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from building.shell import ROOT
from tests.addon.engine import VARIABLE as ENGINE_VARIABLE, sample_avatar
from tests.windows.questions import answered
from tests.windows.wine import ROOT_VARIABLE, WindowsPython

# Run side by side. Wine is slow to start processes, which is what the first part does.
OPERATORS = ("engine", "export", "importing", "performance", "photos", "reconstruct")
PARTS = (
    ("tests/addon/engine_client", "tests/addon/tasks", "tests/addon/rig/test_avatar_file.py"),
    (
        *(f"tests/addon/operators/test_{name}.py" for name in OPERATORS),
        *(f"tests/addon/test_{name}.py" for name in ("batch_script", "files", "paths", "registration", "samples")),
        "tests/addon/exchange",
    ),
)
MINUTES = 20  # beside other lanes; alone it takes five
LINES = 80  # shown of a failure
CRASH = "Windows fatal exception: access violation"  # as Python's faulthandler says

pytestmark = pytest.mark.skipif(
    ROOT_VARIABLE not in os.environ,
    reason=f"{ROOT_VARIABLE} names no folder with Windows' Python: python3 -m tests.windows.wine FOLDER makes one.",
)


def run(words: tuple[str, ...], folder: Path) -> tuple[int, str]:
    """Exit code and last lines of pytest on Windows; its files are below ``folder``."""
    log, temporary = folder / "pytest.log", folder / "temporary"
    temporary.mkdir(parents=True)
    windows = WindowsPython(Path(os.environ[ROOT_VARIABLE]), temporary)
    options = ("-p", "no:cacheprovider", "-q", "-rfEs", "--durations=5")
    with log.open("wb") as output, answered(windows) as address:
        environment = {
            ENGINE_VARIABLE: address,
            "PYTHONPATH": ";".join(map(windows.path, (windows.site, ROOT))),
            "PYTHONDONTWRITEBYTECODE": "1",  # this machine's Python would read it
        }
        code = windows.run(
            windows.python, "-m", "pytest", *words, *options, cwd=ROOT, env=environment, stdout=output, stderr=output,
            timeout=60 * MINUTES, check=False,
        ).returncode  # fmt: skip
    shutil.rmtree(temporary)
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return code, "\n".join([*[line for line in lines[:-LINES] if CRASH in line], *lines[-LINES:]])


def run_again(words: tuple[str, ...], folder: Path) -> tuple[int, str]:
    """Once more, and not without a word, where Blender itself crashed; a test that fails is never tried again.

    After a hundred tests in one process the module has crashed inside an operator of its own under Wine, in one of a
    dozen runs; the same tests alone have not in twenty-five, and Linux' Blender never has.
    """
    code, said = run(words, folder / "1")
    if code and CRASH in said:
        warnings.warn(f"Blender crashed under Wine; {' '.join(words)} are run once more:\n{said}", stacklevel=1)
        code, said = run(words, folder / "2")
    return code, said


def test_the_addons_tests_pass_on_windows(tmp_path):
    sample_avatar()  # the engine that makes it is this machine's
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(run_again, PARTS, (tmp_path / str(number) for number in range(len(PARTS)))))
    if failed := [f"exit code {code}; the last it said:\n{said}" for code, said in ended if code]:
        pytest.fail("\n\n".join(failed), pytrace=False)
    print("\n\n".join(said for _, said in ended))
