"""The add-on's own tests, all of them, in Blender's Windows module."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from building.shell import ROOT
from tests.addon.engine import VARIABLE as ENGINE_VARIABLE, sample_avatar
from tests.windows.questions import answered
from tests.windows.wine import ROOT_VARIABLE, WindowsPython

MINUTES = 8
LINES = 80  # shown of a failure

pytestmark = pytest.mark.skipif(
    ROOT_VARIABLE not in os.environ,
    reason=f"{ROOT_VARIABLE} names no folder with Windows' Python: python3 -m tests.windows.wine FOLDER makes one.",
)


@pytest.fixture
def windows(tmp_path):
    """Windows' Python, whose temporary files go with the test."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    yield WindowsPython(Path(os.environ[ROOT_VARIABLE]), temporary)
    shutil.rmtree(temporary)


def test_the_addons_tests_pass_on_windows(windows, tmp_path):
    sample_avatar()  # the engine that makes it is this machine's
    environment = {
        "PYTHONPATH": ";".join(map(windows.path, (windows.site, ROOT))),
        "PYTHONDONTWRITEBYTECODE": "1",  # this machine's Python would read it
    }
    log = tmp_path / "pytest.log"
    with log.open("wb") as output, answered(windows) as address:
        words = ("-m", "pytest", "tests/addon", "-p", "no:cacheprovider", "-q", "-rfEs", "--durations=5")
        environment[ENGINE_VARIABLE] = address
        code = windows.run(
            windows.python, *words, cwd=ROOT, env=environment, stdout=output, stderr=output, timeout=60 * MINUTES,
            check=False,
        ).returncode  # fmt: skip
    said = "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-LINES:])
    if code:
        pytest.fail(f"exit code {code}; the last it said:\n{said}", pytrace=False)
    print(said)
