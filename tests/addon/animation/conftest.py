"""Two heads to animate: a real one, and one with other shape keys, as from another head model."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

PARTS = (
    "arkit errors rig.avatar_file rig.build rig.extract rig.heads animation.bake animation.capture animation.curves "
    "animation.expressions animation.gaze animation.groups animation.performance animation.pose_assets "
    "animation.poses animation.presets animation.symmetry animation.transfer animation.takes animation.background "
    "animation.clean_up animation.punch animation.reduction rig.copies"
).split()


@pytest.fixture
def parts(addon) -> SimpleNamespace:
    """The add-on's modules by their last name."""
    return SimpleNamespace(**{name.split(".")[-1]: importlib.import_module(f"{addon}.{name}") for name in PARTS})


@pytest.fixture
def head(parts, avatar_path: Path):
    """A real head, active."""
    head = parts.build.build(parts.avatar_file.read_avatar(avatar_path), bpy.context)
    bpy.context.view_layer.objects.active = head.root
    bpy.context.view_layer.update()
    return head


@pytest.fixture
def other(parts, avatar_path: Path, head):
    """A second head that cannot show its tongue and has components of its own."""
    other = parts.build.build(parts.avatar_file.read_avatar(avatar_path), bpy.context)
    other.mesh.shape_key_remove(other.keys["tongueOut"])
    for name in ("expression_001", "expression_002"):
        key = other.mesh.shape_key_add(name=name, from_mix=False)
        key.slider_min, key.slider_max, key.value = -3.0, 3.0, 0.0
    bpy.context.view_layer.update()
    return other


@pytest.fixture
def evaluated(parts):
    """A function: what a head looks like at a frame, (weight by key, [3, 3] rotation by joint in the engine's axes)."""

    def look(head, frame: float) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        scene = bpy.context.scene
        scene.frame_set(int(np.floor(frame)), subframe=frame - np.floor(frame))
        pose = parts.extract.pose_state(head, bpy.context.evaluated_depsgraph_get())
        turns = {joint: matrix(pose.joint_rotations.get(joint, (0, 0, 0))) for joint in parts.poses.JOINTS}
        return pose.expression, turns

    return look


def matrix(axis_angle) -> np.ndarray:
    """Rodrigues' formula."""
    angle = np.linalg.norm(axis_angle)
    x, y, z = np.asarray(axis_angle) / (angle or 1.0)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
