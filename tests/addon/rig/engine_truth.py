"""What the engine itself makes of a pose; run with the engine's Python: AVATAR POSES.json OUT.npz."""

import json
import sys

import numpy as np

from engine.avatar import drive, load

avatar = load(sys.argv[1])
with open(sys.argv[2], encoding="utf-8") as file:
    poses = json.load(file)
fields = {}
for number, pose in enumerate(poses):
    splats = drive(avatar, pose["expression"], pose["joint_rotations"])
    for name in ("means", "quats", "scales", "opacities", "colors"):
        fields[f"{name}_{number}"] = getattr(splats, name).numpy()
np.savez(sys.argv[3], **fields)
