"""Bring an avatar file into a new .blend.

blender --background --python samples/01_import_head.py -- me.npz me.blend
"""

import sys

import bpy
from bl_ext.user_default.gaussian_heads import api

avatar, blend = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = api.import_head(avatar)
print(f"{head.name}: {len(head.splats.data.points)} Gaussians, shape keys {', '.join(head.keys)}")
bpy.ops.wm.save_as_mainfile(filepath=blend)
