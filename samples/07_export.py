"""Write a head as it looks at some frames, for other programs' splat viewers.

blender --background me.blend --python samples/07_export.py -- folder
"""

import sys
from pathlib import Path

import bpy
from bl_ext.user_default.gaussian_heads import api

folder = Path(sys.argv[sys.argv.index("--") + 1])

scene = bpy.context.scene
for head in api.all_heads(scene):
    api.export(head, folder / f"{head.name}.npz")
    for frame in (scene.frame_start, scene.frame_end):
        scene.frame_set(frame)
        api.export(head, folder / f"{head.name}_{frame:04}.ply")
