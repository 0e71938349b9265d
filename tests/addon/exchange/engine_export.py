"""A head as the engine exports it, and what it makes of the pose itself; run with the engine's Python.

AVATAR POSE.json OUT.glb TRUTH.npz
"""

import json
import sys
from pathlib import Path

import numpy as np

from engine.avatar import Pose, deform, drive, load, motion
from engine.exchange.heads.glb import split_at_seams, write_glb
from tests.engine.exchange.textured import make_textured

source, asked, target, truth = map(Path, sys.argv[1:])
avatar = load(source)
pose = Pose(**json.loads(asked.read_text("utf-8")))
head = make_textured(avatar)
write_glb(head, pose, target)
vertices, places, _ = split_at_seams(head.meshes[0])
splats = drive(avatar, pose.expression, pose.joint_rotations)
np.savez(
    truth,
    rest=avatar.vertices[vertices],
    deltas=avatar.key_deltas[:, vertices],
    moved=deform(avatar, *motion(avatar, pose)).numpy()[vertices],
    uv=avatar.uv[places],
    means=splats.means[splats.opacities >= 1 / 255].numpy(),
)
