"""Blender's ``//`` and both kinds of slashes mean the same on every system.

On others than Windows, its ``Path`` takes the place of this system's: it takes ``//renders/turn.png`` for a folder that
another computer shares, and loses it.
"""

import importlib
import os
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import bpy
import pytest

# Blender 4.5 wants a flag of properties that take two slashes, which 4.2 does not know.
pytestmark = pytest.mark.filterwarnings("ignore:.*blend relative:RuntimeWarning")
PARTS = ("api", "errors", "operators.photos", "panels.photos", "paths", "tasks.photo_files", "viewport.pictures")


@pytest.fixture
def parts(addon, monkeypatch):
    """The add-on's modules that see an artist's paths, as they are on Windows."""
    found = {name.replace(".", "_"): importlib.import_module(f"{addon}.{name}") for name in PARTS}
    if os.name != "nt":
        for name in ("operators_photos", "panels_photos", "tasks_photo_files", "viewport_pictures"):
            monkeypatch.setattr(found[name], "Path", WindowsPath, raising=False)
    return SimpleNamespace(**found)


class WindowsPath(PureWindowsPath):
    """Windows' reading of a path, which still finds this system's files."""

    def __fspath__(self) -> str:
        return str(self).replace("\\", "/")


@pytest.fixture
def home(addon, tmp_path) -> Path:
    """The folder of the open .blend file."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("//turn.png", "turn.png"),
        ("//renders/turn.png", "renders/turn.png"),
        ("//renders\\turn.png", "renders/turn.png"),
        ("//..\\turn.png", "../turn.png"),
    ],
)
def test_two_slashes_are_the_files_folder(parts, home, text, where):
    assert parts.paths.resolve(text) == home / where


def test_other_paths_stay_as_they_are(parts, home):
    assert parts.paths.resolve(str(home / "turn.png")) == home / "turn.png"
    assert parts.paths.resolve(home) == home
    assert parts.paths.resolve("turn.png") == Path("turn.png")


@pytest.mark.parametrize(
    ("text", "name", "ending"),
    [
        ("//Turn.PNG", "Turn.PNG", ".png"),
        ("//renders\\Turn.PNG", "Turn.PNG", ".png"),
        ("C:\\a.b/c.d\\turn", "turn", ""),
        ("//renders/", "", ""),
        ("//", "", ""),
        (".png", ".png", ""),
    ],
)
def test_names_and_endings_are_found_after_slashes_of_both_kinds(parts, text, name, ending):
    assert (parts.paths.name_of(text), parts.paths.ending_of(text)) == (name, ending)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("//turn_####", "turn_0007.png"),
        ("//renders/turn_####.png", "renders/turn_0007.png"),
        ("//renders\\turn_####.png", "renders/turn_0007.png"),
        ("//renders/", "renders/splats0007.png"),
        ("//renders\\", "renders/splats0007.png"),
        ("//", "splats0007.png"),
    ],
)
def test_rendered_frames_go_where_blenders_own_would(parts, home, text, where):
    with parts.viewport_pictures.Writer(bpy.context.scene, text) as writer:
        assert os.path.normpath(writer.path(7)) == str(home / where)
        depth = Path(os.path.normpath(writer.path(7, depth=True)))
    assert depth.parent == (home / where).parent
    assert "depth" in depth.name


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("//renders/turn_####.png", "//renders/turn_depth_####.png"),
        ("//renders\\turn_####.png", "//renders\\turn_depth_####.png"),
        ("C:\\renders/####.png", "C:\\renders/depth_####.png"),
        ("/renders/turn", "/renders/turn_depth"),
    ],
)
def test_depths_lie_beside_the_pictures(parts, text, depth):
    assert os.path.splitext(parts.viewport_pictures.depth_path(text))[0] == os.path.splitext(depth)[0]


def test_photos_beside_the_blend_file_are_found(parts, home):
    (home / "photos").mkdir()
    for name in ("a.jpg", "b.JPG"):
        (home / "photos" / name).write_bytes(b"a face")
    add = bpy.ops.gaussian_heads.add_photos
    assert add(filepath="//photos/a.jpg") == {"FINISHED"}
    assert add(filepath="//photos\\b.JPG") == {"FINISHED"}
    items = bpy.context.scene.gaussian_heads.photos.items
    assert [item.name for item in items] == ["a.jpg", "b.JPG"]
    assert [Path(item.path) for item in items] == [home / "photos" / "a.jpg", home / "photos" / "b.JPG"]
    bpy.ops.gaussian_heads.clear_photos()
    bpy.ops.gaussian_heads.add_folder(directory="//photos")
    assert [item.name for item in items] == ["a.jpg", "b.JPG"]


def test_the_preferences_know_two_slashes(addon, home):
    module = importlib.import_module(f"{addon}.preferences")
    preferences = bpy.context.preferences.addons[addon].preferences
    (home / "flame.pkl").touch()
    preferences.flame_path, preferences.engine_python = "//flame.pkl", "//venv\\python"
    assert module.flame_path() == home / "flame.pkl"
    assert module.engine_settings().python == home / "venv" / "python"


def test_scripts_may_use_two_slashes_everywhere(parts, home, monkeypatch):
    asked = []

    class Job:
        def __init__(self, engine, paths, name, options, parse):
            asked.append((paths, options.head))
            raise parts.errors.AddonError("It ends here.", "Go on.")

    monkeypatch.setattr(parts.api, "ReconstructionJob", Job)
    with pytest.raises(parts.errors.AddonError, match="It ends here"):
        parts.api.reconstruct(["//a.jpg", home / "b.jpg"], head_model="//flame.npz")
    assert asked == [([home / "a.jpg", home / "b.jpg"], str(home / "flame.npz"))]
    for call in (parts.api.import_head, lambda path: parts.api.import_capture(None, path)):
        with pytest.raises(parts.errors.AddonError, match=r"none\.file cannot be read"):
            call("//folder\\none.file")
