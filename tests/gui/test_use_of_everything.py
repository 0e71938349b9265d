"""Every control of the extension is used once in Blender's default layout; after each, the main window is alive."""

import json
import shutil
import time
from pathlib import Path

import pytest

from tests.addon.engine import sample_avatar
from tests.gui.artist import SCREEN, Artist, pictures_folder
from tests.gui.real_blender import RealBlender, Window

pytestmark = [pytest.mark.gui, pytest.mark.slow]

BESIDE, ON_HEAD = (300, 850), (652, 420)  # in the 3D View: nothing, and the head's face
LEFT_OUT = (
    "gaussian_heads.open_engine_log",  # starts another program
    "wm.path_open",
    "gaussian_heads.make_animatable",  # needs a linked head; tests/addon/rig/test_linked.py
)
FIND = """
import sys
sys.path.insert(0, "/share")
import everything
with view():
    everything.found = list(everything.controls(bpy.context))
out += [name for name, *_ in everything.found]
"""
USE = """
import everything
with view():
    out.append(everything.use(*everything.found[{number}][1:]))
"""
CLOSE = """
manager = bpy.context.window_manager
out.append(len(manager.windows))
for window in manager.windows[1:]:
    with bpy.context.temp_override(window=window):
        bpy.ops.wm.window_close()
"""
BACK = """
for window in bpy.context.window_manager.windows[1:]:
    if any(area.type == "FILE_BROWSER" for area in window.screen.areas):  # lies over the main one, as it should
        with bpy.context.temp_override(window=window):
            bpy.ops.wm.window_close()
if bpy.context.mode != "OBJECT":
    bpy.ops.object.mode_set(mode="OBJECT")
heads = [obj for obj in bpy.context.scene.objects if "gaussian_head" in obj]
if not heads:
    bpy.ops.gaussian_heads.import_head(filepath="/share/sample.npz")
    heads = [obj for obj in bpy.context.scene.objects if "gaussian_head" in obj]
for other in heads[1:]:
    bpy.ops.gaussian_heads.delete_head(head=other.name)
for obj in list(bpy.context.scene.objects):
    obj.select_set(False)
heads[0].location = (0, 0, 0)
"""


@pytest.fixture
def artist(blender: RealBlender, share: Path):
    for name in ("probe.py", "everything.py"):
        shutil.copy(Path(__file__).with_name(name), share / name)
    shutil.copy(sample_avatar(), share / "sample.npz")
    (share / "state.json").unlink(missing_ok=True)
    with Window(blender, share, ("--python", "/share/probe.py"), SCREEN) as window:
        window.wait_for((share / "state.json").exists, 60)
        yield Artist(window, blender, share, pictures_folder(share / "pictures"))


def test_no_control_fails_or_leaves_the_window_dead(artist: Artist, share: Path):
    artist.call("bpy.data.objects.remove(bpy.data.objects['Cube'])")
    artist.call(BACK)
    artist.point(BESIDE)
    artist.do("key n", "key KP_1", "key KP_Decimal")
    names = artist.call(FIND)
    assert len(names) > 60
    artist.call(BACK)
    said = {}
    for number, name in enumerate(names):
        if any(word in name for word in LEFT_OUT):
            continue
        (said[name],) = artist.call(USE.format(number=number))
        time.sleep(0.2)
        artist.do("key Escape")  # menus, dialogs and file views
        artist.call(BACK)
        assert artist.is_alive(BESIDE, ON_HEAD), f"After {name} the window takes no clicks"
        artist.call(CLOSE)
        artist.do("key Escape")
    (share / "said.json").write_text(json.dumps(said, indent=1))
    artist.show("everything")
    for failure in ("Traceback", "unable to get Python class"):
        assert failure not in artist.log, artist.log[-5000:]
    assert [name for name, answer in said.items() if "Traceback" in answer] == []
