"""Turn the head and open the jaw: pose bones about their own axes, pitch, yaw and roll.

blender --background --python samples/04_pose.py -- me.npz nod.blend
"""

import sys
from math import radians

import bpy
from bl_ext.user_default.gaussian_heads import api

avatar, blend = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = api.import_head(avatar)
for frame, pitch in ((1, 0), (10, 15), (20, 0)):
    api.set_pose(head, {"neck": (radians(pitch), 0, 0), "head": (radians(pitch / 2), radians(10), 0)})
    api.key(head, frame, ["neck", "head"])
api.set_pose(head, {"jaw": (radians(12), 0, 0)})
bpy.ops.wm.save_as_mainfile(filepath=blend)
