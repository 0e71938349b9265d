"""Render a head before the camera: a still with alpha, then a few frames as a sequence.

blender --background --python samples/06_render.py -- me.npz folder
"""

import sys
from math import radians
from pathlib import Path

import bpy
from bl_ext.user_default.gaussian_heads import api

avatar, folder = sys.argv[sys.argv.index("--") + 1 :]
folder = Path(folder).resolve()

bpy.ops.wm.read_homefile(use_empty=True)
head = api.import_head(avatar)
scene = bpy.context.scene
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
camera.location, camera.rotation_euler = (0, -1.2, 0.02), (radians(90), 0, 0)
camera.data.lens = 85
scene.collection.objects.link(camera)
scene.camera = camera
for frame, yaw in ((1, -25), (4, 25)):
    api.set_pose(head, {"neck": (0, radians(yaw), 0)})
    api.key(head, frame, ["neck"])

api.render(folder / "still.png", size=(480, 480))
api.render(folder / "turn_####.png", range(1, 5), size=(240, 240))
