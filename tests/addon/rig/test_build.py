"""The head in Blender moves as the engine says, and goes on doing so where neither engine nor add-on is."""

import importlib
import json
import subprocess
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Quaternion, Vector

ROOT = Path(__file__).parents[3]
JOINTS = ("neck", "head", "jaw", "eyeLeft", "eyeRight")


@pytest.fixture
def rig(addon):
    names = ("avatar_file", "build", "extract", "heads", "points", "axes")
    return type("Rig", (), {name: importlib.import_module(f"{addon}.rig.{name}") for name in names})


@pytest.fixture
def head(rig, avatar_path):
    return rig.build.build(rig.avatar_file.read_avatar(avatar_path), bpy.context)


def take_pose(head, expression, joint_rotations):
    for name, weight in expression.items():
        head.keys[name].value = weight
    for name, rotvec in joint_rotations.items():
        bone = head.armature.pose.bones[name]
        bone.rotation_mode = "QUATERNION"
        bone.rotation_quaternion = Quaternion(Vector(rotvec).normalized(), Vector(rotvec).length)
    bpy.context.view_layer.update()


def random_pose(seed, names):
    rng = np.random.default_rng(seed)
    expression = {name: float(rng.uniform(0, 1)) for name in rng.choice(names, 9, replace=False)}
    return {"expression": expression, "joint_rotations": {j: rng.normal(0, 0.25, 3).tolist() for j in JOINTS}}


def evaluated(rig, head):
    cloud = head.splats.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    names = ("position", "rotation", "scale", "radiance:base")
    return {name: rig.points.read_attribute(cloud, name) for name in names}


def angles(a, b):
    """Radians between rotations given as quaternions."""
    a, b = (q / np.linalg.norm(q, axis=1, keepdims=True) for q in (a.astype(float), b.astype(float)))
    return 2 * np.arccos(np.clip(np.abs((a * b).sum(1)), 0, 1))


def test_splats_follow_keys_and_bones_as_the_engine_says(rig, head, avatar_path, tmp_path):
    poses = [random_pose(seed, list(head.keys)) for seed in range(3)]
    (tmp_path / "poses.json").write_text(json.dumps(poses))
    from ..conftest import engine_python

    words = [Path(__file__).with_name("engine_truth.py"), avatar_path, tmp_path / "poses.json", tmp_path / "truth.npz"]
    subprocess.run([engine_python(), *words], check=True, env={"PYTHONPATH": str(ROOT)})
    truth = np.load(tmp_path / "truth.npz")
    quarter_turn = Matrix(rig.axes.ENGINE_TO_BLENDER.tolist()).to_quaternion()
    for number, pose in enumerate(poses):
        for key in head.keys.values():
            key.value = 0
        take_pose(head, pose["expression"], pose["joint_rotations"])
        seen = evaluated(rig, head)
        distance = np.linalg.norm(seen["position"] - rig.axes.to_blender(truth[f"means_{number}"]), axis=1)
        assert distance.max() < 1e-4
        turned = np.array([quarter_turn @ Quaternion(q) for q in truth[f"quats_{number}"]])
        assert np.quantile(angles(seen["rotation"], turned), 0.9999) < 1e-3
        np.testing.assert_allclose(seen["scale"], truth[f"scales_{number}"], rtol=2e-3, atol=1e-6)
        colors = seen["radiance:base"][:, :3] * 0.28209479177387814 + 0.5
        np.testing.assert_allclose(colors, truth[f"colors_{number}"], atol=1e-5)
        np.testing.assert_allclose(seen["radiance:base"][:, 3], truth[f"opacities_{number}"], atol=1e-6)
