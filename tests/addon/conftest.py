"""The add-on as Blender sees it once installed: an enabled extension in a throw-away user folder.

Runs in an environment with Blender as a module (``bpy``); elsewhere, nothing in this folder is collected.
"""

import importlib.util
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "bl_ext.user_default.gaussian_heads"
HAS_BLENDER = importlib.util.find_spec("bpy") is not None

if not HAS_BLENDER:
    collect_ignore_glob = ["*"]
else:
    # Before bpy is imported: it reads this once. The folder lives as long as the process.
    _user = tempfile.TemporaryDirectory(prefix="gaussian_heads_user_")
    os.environ["BLENDER_USER_RESOURCES"] = _user.name
    _extension = Path(_user.name, "extensions", "user_default", "gaussian_heads")
    _extension.mkdir(parents=True)
    for _entry in (*(ROOT / "blender_addon").iterdir(), ROOT / "blender_manifest.toml", ROOT / "engine"):
        if _entry.name != "__pycache__":
            (_extension / _entry.name).symlink_to(_entry)


def engine_python() -> Path:
    """The engine's own interpreter, made by ``build.py test``."""
    return ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="session")
def extension_dir() -> Path:
    return _extension


@pytest.fixture
def addon():
    """An empty Blender with the add-on enabled; yields the add-on's package name."""
    import addon_utils
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert addon_utils.enable(PACKAGE, default_set=True) is not None
    yield PACKAGE
    addon_utils.disable(PACKAGE, default_set=True)


@pytest.fixture(scope="session")
def avatar_path() -> Path:
    """A small real avatar, made once by the engine from the sample photo and kept between runs."""
    path = ROOT / "build" / "tests" / "avatar.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = ROOT / "engine" / "assets" / "files" / "samples" / "astronaut.png"
        words = ["reconstruct", photo, "-o", path, "--name", "Astronaut", "--gaussians", "20000", "--refine", "0"]
        subprocess.run([engine_python(), "-m", "engine", *words], check=True, cwd=ROOT)
    return path
