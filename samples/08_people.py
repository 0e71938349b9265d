"""A folder of people to a folder of .blend files: each subfolder holds one person's photos.

blender --background --python samples/08_people.py -- people blends
"""

import sys
from pathlib import Path

import bpy
from bl_ext.user_default.gaussian_heads import api

people, blends = map(Path, sys.argv[sys.argv.index("--") + 1 :])

failed = []
for folder in sorted(path for path in people.iterdir() if path.is_dir()):
    bpy.ops.wm.read_homefile(use_empty=True)
    try:
        api.reconstruct(sorted(folder.iterdir()), name=folder.name, count=40_000, refine_seconds=0)
        bpy.ops.wm.save_as_mainfile(filepath=str(blends / f"{folder.name}.blend"))
    except api.AddonError as error:  # the others go on
        failed.append(f"{folder.name}: {error}")
sys.exit("\n".join(failed))
