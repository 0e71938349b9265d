"""The artist's whole way: photo, head, expression, keys, playback, render, save. Every step is a click or a key."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from engine import assets
from tests.gui.artist import SCREEN, Artist, pictures_folder
from tests.gui.real_blender import RealBlender, Window

pytestmark = [pytest.mark.gui, pytest.mark.slow]

MENUS = (0, 20, 300, 50)
MENU = (0, 50, 400, 500)
FILES = (100, 0, 1220, 700)  # Blender's file view
RENDER = (500, 70, 1100, 130)  # header of the window that shows a rendered picture
FACE = (240, 80, 285, 120)  # in the rendered picture of 480 × 270
VIEW = (560, 560)
SHADING = """
with view():
    out.append(bpy.context.space_data.shading.color_type)
"""
F12 = """
scene = bpy.context.scene
scene.render.engine = "CYCLES"
scene.cycles.samples, scene.cycles.use_denoising = 8, False
scene.render.resolution_percentage = 25
scene.render.filepath = "/share/f12.png"
bpy.ops.render.render(write_still=True)
"""
SCRUB = """
import bpy, json, numpy as np
assert not hasattr(bpy.types.Scene, "gaussian_heads")
splats = next(o for o in bpy.data.objects if o.type == "POINTCLOUD")
def positions(frame):
    bpy.context.scene.frame_set(frame)
    cloud = splats.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    flat = np.empty(3 * len(cloud.points), np.float32)
    cloud.attributes["position"].data.foreach_get("vector", flat)
    return flat
print("moved", float(np.abs(positions(1) - positions(12)).max()))
"""


@pytest.fixture
def artist(blender: RealBlender, share: Path):
    home = share / "home"
    home.mkdir(exist_ok=True)
    shutil.copy(assets.path("samples/astronaut.png"), home / "portrait.png")
    shutil.copy(Path(__file__).with_name("probe.py"), share / "probe.py")
    (share / "state.json").unlink(missing_ok=True)
    with Window(blender, share, ("--python", "/share/probe.py"), SCREEN) as window:
        window.wait_for((share / "state.json").exists, 60)
        yield Artist(window, blender, share, pictures_folder(share / "pictures"))
        assert "Traceback" not in window.log


def test_from_a_photo_to_a_rendered_saved_animation(artist: Artist, blender: RealBlender, share: Path):
    artist.point(VIEW)
    artist.do("key Delete", "key n")  # the cube of the empty scene; the sidebar
    artist.open_tab("Gaussian")
    artist.show("tab")

    artist.click("Photos", last=True)
    artist.click("portrait.png", FILES)
    artist.click("Add Photos", FILES)
    artist.wait(lambda state: state["photos"] and state["photos"][0][1] in ("GOOD", "WARNING"), 300)
    artist.show("photos")

    artist.forget_stalls()
    artist.click("Reconstruct Head")
    artist.see("left")  # "about 12 s left"
    artist.show("reconstructing")
    stalls = [artist.state["stall"]]
    artist.wait(lambda state: stalls.append(state["stall"]) or state["heads"], 240)
    (share / "stall.json").write_text(json.dumps(stalls[-2]))

    artist.point(VIEW)
    artist.do("key KP_1", "key KP_Decimal", *["click 5"] * 3)
    artist.do("key ctrl+alt+KP_0")  # the camera takes this view
    artist.click("Photos")  # folds the panels that are done with
    artist.see("Expression")
    artist.show("head")
    artist.click("Reconstruct")
    artist.click("Jaw")
    slider = artist.see("jawOpen")
    artist.point(slider)
    artist.do("key i")
    artist.wait(lambda state: state["heads"]["Head"]["animated"])
    artist.point(VIEW)
    artist.do(*["key Right"] * 11)
    artist.wait(lambda state: state["frame"] == 12)
    artist.drag(slider, 50)
    artist.wait(lambda state: state["heads"]["Head"]["expression"].get("jawOpen", 0) > 0.2)
    artist.point(slider)
    artist.do("key i")
    artist.show("slider")

    artist.point(VIEW)
    artist.do("key shift+Left", "key space")
    artist.wait(lambda state: state["playing"] and state["frame"] > 12)
    artist.show("playing")
    artist.do("key Escape")
    artist.wait(lambda state: not state["playing"])

    artist.click("File", MENUS)
    artist.click("Save", MENU)
    artist.click("Save", FILES, last=True)
    saved = artist.wait(lambda state: state["file"])["file"]

    (share / "scrub.py").write_text(SCRUB)
    words = ("blender", "--background", "--factory-startup", saved, "--python-exit-code", "5")
    scrubbed = blender.run(*words, "--python", "/share/scrub.py", share=share, capture_output=True)
    moved = float(scrubbed.stdout.split("moved")[1].split()[0])
    assert moved > 0.003  # the lower lip goes down by more than 3 mm, without the extension

    for panel in ("Expression", "Pose"):  # fold
        artist.click(panel)
    artist.click("Mesh")
    artist.wait(lambda state: state["heads"]["Head"]["shown"] == "MESH", 240)
    assert artist.call(SHADING) == ["TEXTURE"]  # or the head would be a grey statue
    artist.point(VIEW)  # away from the menu that says so
    artist.see("As in the Photos")
    artist.show("mesh")
    artist.call(F12, 240)
    red, _, blue = Image.open(share / "f12.png").convert("RGB").resize((1, 1), box=FACE).getpixel((0, 0))
    assert red > blue + 15  # skin, in the scene's light
    artist.click("Splats")
    artist.wait(lambda state: state["heads"]["Head"]["shown"] == "SPLATS")

    for panel in ("Preview", "Render"):  # the first folds, the last opens
        artist.click(panel)
    artist.click("Image", last=True)
    artist.wait(lambda state: "Gaussian Heads Render" in state["images"], 120)
    artist.see("Render", RENDER)
    artist.show("render")
