"""The Windows zip on Windows: below a long path with a Japanese name it makes a head, dies, comes back, and goes."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine import assets
from tests.windows.wine import ROOT_VARIABLE, ZIP_VARIABLE, WindowsPython

PROFILE = 119  # characters of the user's folder, far more than a user's name makes
INSTALLABLE = 60  # characters of the longest user's folder into which Blender can install the zip
MAX_PATH = 259
MINUTES = 15
EXTENSION = "Blender Foundation/Blender/4.5/extensions/user_default/gaussian_heads"

pytestmark = pytest.mark.skipif(
    not {ROOT_VARIABLE, ZIP_VARIABLE} <= os.environ.keys(),
    reason=f"{ROOT_VARIABLE} names no folder with Windows' Python, or {ZIP_VARIABLE} no zip for it.",
)


@pytest.fixture(scope="module")
def day(tmp_path_factory) -> dict:
    """What was seen of an artist's day; see ``artist.py``."""
    windows = WindowsPython(Path(os.environ[ROOT_VARIABLE]))
    start = windows.drive_c / "users" / "山田 太郎"
    shutil.rmtree(start, ignore_errors=True)
    profile = start / ("p" * (PROFILE - len(r"C:\users\山田 太郎") - 1))
    roaming, local, work = profile / "AppData" / "Roaming", profile / "AppData" / "Local", profile / "Work"
    for folder in (roaming / EXTENSION, local / "Temp", work):
        folder.mkdir(parents=True)
    with zipfile.ZipFile(os.environ[ZIP_VARIABLE]) as archive:
        archive.extractall(roaming / EXTENSION)
    shutil.copy(assets.path("samples/astronaut.png"), work / "Ä 顔.png")

    def inside(path: Path) -> str:
        return "C:\\" + str(path.relative_to(windows.drive_c)).replace("/", "\\")

    assert len(inside(profile)) == PROFILE
    told: dict[str, Any] = {"blender": windows.path(windows.blender / "blender.exe"), "work": inside(work)}
    told["photo"] = inside(work / "Ä 顔.png")
    told["environment"] = {  # set inside, since Wine has its own
        "APPDATA": inside(roaming),
        "BLENDER_USER_RESOURCES": inside(roaming / "Blender Foundation" / "Blender" / "4.5"),
        "LOCALAPPDATA": inside(local),
        "TEMP": inside(local / "Temp"),
        "TMP": inside(local / "Temp"),
        "USERPROFILE": inside(profile),
    }
    (work / "artist.json").write_text(json.dumps(told), "utf-8")
    log = tmp_path_factory.mktemp("windows") / "artist.log"
    with log.open("wb") as output:
        script = Path(__file__).with_name("artist.py")
        code = windows.run(
            windows.python, script, inside(work / "artist.json"), cwd=work,
            env={"PYTHONPATH": windows.path(windows.site)}, stdout=output,
            stderr=output, timeout=60 * MINUTES, check=False,
        ).returncode  # fmt: skip
    said = log.read_text("utf-8", errors="replace")
    logs = [path.read_text("utf-8", errors="replace")[-3000:] for path in profile.rglob("engine-*.log")]
    assert code == 0, "\n".join([f"exit code {code}", said[-5000:], *logs])
    seen = json.loads((work / "artist.json").read_text("utf-8"))
    print(json.dumps({key: value for key, value in seen.items() if key.endswith("_s") or key in ("files", "bytes")}))
    shutil.rmtree(start)
    return seen


def test_it_unpacks_and_starts_and_says_how_far_it_is(day):
    assert day["health"]["device"] == "cpu"
    assert day["health"]["python"].startswith("3.11.")
    assert any(re.search(r"\d+ files to go", text) for text in day["told"])
    assert any("of its parts are loaded" in text for text in day["told"])
    assert day["files"] <= 12_000
    assert day["bytes"] <= 1.0e9


def test_no_path_is_longer_than_windows_opens(day):
    """Wine would open longer ones; Windows would not. What Blender itself installs lies deeper in the profile."""
    longest = day["longest"]
    assert len(longest["local"]) <= MAX_PATH, longest["local"]
    assert len(longest["extension"]) - PROFILE + INSTALLABLE <= MAX_PATH, longest["extension"]
    assert day["local"].startswith(day["environment"]["LOCALAPPDATA"])


def test_a_head_lands_is_keyed_saved_and_opened_again(day):
    assert day["splats"] > 20_000
    assert day["jaw_open"] == pytest.approx(0.7)
    assert 0.1 < day["covered"] < 0.9


def test_killed_it_comes_back(day):
    assert "stopped unexpectedly" in day["killed"]
    assert day["second_start_s"] < day["first_start_s"]


def test_uninstalled_nothing_of_it_is_left(day):
    assert day["left"][:20] == []
