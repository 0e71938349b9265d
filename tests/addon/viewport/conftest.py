"""A head in an empty Blender with a GPU, and two judges of its picture that share no code with the add-on's."""

import functools
import importlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from ..engine import ask_engine
from ..rig.test_motion import moving_path, still_path  # noqa: F401 - fixtures

ENGINE_RENDER = """
import json, sys
import numpy as np
from engine.avatar import drive, load
from engine.rendering import Camera, render
question = json.load(sys.stdin)
splats = drive(load(sys.argv[1]), question["expression"], question["joint_rotations"])
camera = Camera(np.array(question["viewmat"]), np.array(question["K"]), question["width"], question["height"])
picture = render(splats, camera)
np.save(sys.argv[2], np.dstack([picture.rgb.numpy(), picture.alpha.numpy()]))
"""


READ_PNG = """
import sys
import numpy as np
import cv2
np.save(sys.argv[2], cv2.imread(sys.argv[1], cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, 3]])
"""


@pytest.fixture
def part(addon) -> Callable[[str], ModuleType]:
    """Imports a module of the add-on by its name below the package; the GPU is ready."""
    importlib.import_module(addon + ".compat").start_gpu()
    return lambda name: importlib.import_module(f"{addon}.{name}")


@pytest.fixture
def make_head(part, avatar_path):
    """Builds the sample avatar, as often as it is called."""
    avatar = part("rig.avatar_file").read_avatar(avatar_path)
    return lambda: part("rig.build").build(avatar, bpy.context)


@pytest.fixture(scope="session")
def engine_picture(avatar_path, tmp_path_factory):
    """The engine's own rasteriser: premultiplied [H, W, 4] of the sample avatar, or of another file."""
    output = tmp_path_factory.mktemp("engine") / "picture.npy"

    @functools.cache  # importing torch takes longer than all else here
    def render(question: str, path: Path) -> np.ndarray:
        ask_engine("-c", ENGINE_RENDER, path, output, question=question)
        return np.load(output)

    def draw(camera, pose, size, path=avatar_path) -> np.ndarray:
        question = {"expression": pose.expression, "joint_rotations": pose.joint_rotations}
        question |= {"viewmat": camera.viewmat, "K": camera.K, "width": size[0], "height": size[1]}
        return render(json.dumps(question), path)

    return draw


@pytest.fixture
def camera():
    """The scene's camera, half a metre before a head's face, off-centre as for a poster."""
    data = bpy.data.cameras.new("Camera")
    obj = bpy.data.objects.new("Camera", data)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.scene.camera = obj
    obj.matrix_world = Matrix.Translation((0.1, -1.0, 0.05)) @ Matrix.Rotation(math.radians(88), 4, "X")
    data.lens, data.shift_x, data.shift_y = 60.0, 0.08, -0.05
    bpy.context.scene.render.pixel_aspect_x = 1.25
    return obj


@pytest.fixture
def read_png(tmp_path):
    """Another program's reading of a PNG: [H, W, RGBA] as stored."""

    def read(path) -> np.ndarray:
        output = tmp_path / "read.npy"
        ask_engine("-c", READ_PNG, path, output)
        return np.load(output)

    return read
