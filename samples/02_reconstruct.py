"""Turn photos of one person into a head, and save the .blend.

blender --background --python samples/02_reconstruct.py -- ada.blend front.jpg left.jpg
"""

import sys

import bpy
from bl_ext.user_default.gaussian_heads import api

blend, *photos = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
try:
    head = api.reconstruct(photos, name="Ada", count=40_000, refine_seconds=2)
except api.AddonError as error:  # it says what happened, and what to do
    sys.exit(str(error))
bpy.ops.wm.save_as_mainfile(filepath=blend)
print(f"{head.name} is in {blend}")
