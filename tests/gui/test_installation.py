"""The zip in a real Blender: it installs, its engine unpacks and works without network, the window opens."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import assets
from tests.gui.real_blender import RealBlender, Window

pytestmark = [pytest.mark.gui, pytest.mark.slow]

UNPACK = """
import importlib, json, pathlib, sys, bpy
package = "bl_ext.user_default.gaussian_heads"
runtime = importlib.import_module(package + ".engine_client.runtime")
folder = pathlib.Path(sys.modules[package].__file__).parent
user = pathlib.Path(bpy.utils.extension_path_user(package, create=True))
told = []
found = runtime.Runtime(folder, user).ensure(lambda *news: told.append(news))
answer = [str(found.python), found.environment, told]
pathlib.Path("/share/found.json").write_text(json.dumps(answer))
"""


def test_the_engine_unpacks_and_makes_a_head_without_network(blender: RealBlender, share: Path):
    (share / "unpack.py").write_text(UNPACK)
    words = ("blender", "--background", "--python-exit-code", "5", "--python", "/share/unpack.py")
    blender.run(*words, share=share, network=False)
    python, environment, told = json.loads((share / "found.json").read_text())
    assert told[0][0] < 0.1
    assert told[-1][0] > 0.9

    shutil.copy(assets.path("samples/astronaut.png"), share / "photo.png")
    words = ("reconstruct", "/share/photo.png", "-o", "/share/head.npz", "--gaussians", "20000", "--refine", "0")
    blender.run(python, "-P", "-m", "engine", *words, share=share, network=False, env=environment)
    with np.load(share / "head.npz", allow_pickle=False) as head:
        assert len(head["opacities"]) > 20_000


def test_the_window_opens_with_the_extension(blender: RealBlender, share: Path):
    script = "import bpy; bpy.app.timers.register(lambda: open('/share/open', 'w').close(), first_interval=2)"
    with Window(blender, share, ("--python-expr", script)) as window:
        window.wait_for((share / "open").exists, 60)
        window.steps("xdotool mousemove 700 500; xdotool key n; sleep 1")
        window.screenshot(share / "window.png")
        assert "Traceback" not in window.log
    picture = np.asarray(Image.open(share / "window.png").convert("L"))
    assert picture.shape == (1000, 1600)
    assert picture.std() > 5
