"""The add-on as Blender sees it once installed: an enabled extension in a throw-away user folder.

Runs in an environment with Blender as a module (``bpy``); elsewhere, nothing in this folder is collected.
"""

import importlib.util
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.addon.engine import ROOT, sample_avatar

PACKAGE = "bl_ext.user_default.gaussian_heads"
ENDED = pytest.StashKey[int]()
HAS_BLENDER = importlib.util.find_spec("bpy") is not None


def _link(place: Path, entry: Path) -> None:
    """Shows a file or folder at a second place; where the system makes no links for us, a copy has to do."""
    with suppress(OSError):
        place.symlink_to(entry, entry.is_dir())
    if place.exists():
        return
    if entry.is_dir():
        shutil.copytree(entry, place, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(entry, place)


if not HAS_BLENDER:
    collect_ignore_glob = ["*"]
else:
    # Before bpy is imported: it reads this once. The folder lives as long as the process.
    _user = tempfile.TemporaryDirectory(prefix="gaussian_heads_user_", ignore_cleanup_errors=True)
    os.environ["BLENDER_USER_RESOURCES"] = _user.name
    _extension = Path(_user.name, "extensions", "user_default", "gaussian_heads")
    _extension.mkdir(parents=True)
    for _entry in (*(ROOT / "blender_addon").iterdir(), ROOT / "blender_manifest.toml", ROOT / "engine"):
        if _entry.name != "__pycache__":
            _link(_extension / _entry.name, _entry)
    import bpy  # brings addon_utils


def pytest_sessionfinish(session: pytest.Session, exitstatus: int):
    session.config.stash[ENDED] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config):
    """Leave without Blender's own clearing up: where a movie was open, the module waits for ever for a thread of its
    own that closes movies later (4.5 and 5.0; the program ends that thread first)."""
    if HAS_BLENDER and ENDED in config.stash:
        _user.cleanup()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[ENDED])


@pytest.fixture(scope="session")
def extension_dir() -> Path:
    return _extension


@pytest.fixture
def addon():
    """An empty Blender with the add-on enabled; yields the add-on's package name."""
    import addon_utils

    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert addon_utils.enable(PACKAGE, default_set=True) is not None
    yield PACKAGE
    addon_utils.disable(PACKAGE, default_set=True)


@pytest.fixture(scope="session")
def avatar_path() -> Path:
    """See :func:`tests.addon.engine.sample_avatar`."""
    return sample_avatar()
