"""Give a take an action of its own, put the mouth of another take into some of its frames, and clean it up.

blender --background --python samples/10_takes.py -- me.npz line.csv mouth.csv acting.blend
"""

import sys

import bpy
from bl_ext.user_default.gaussian_heads import api

avatar, line, mouth, blend = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = api.import_head(avatar)
api.import_capture(head, line, place="ACTION")
done = api.import_capture(head, mouth, parts=["JAW", "MOUTH"], span=(10, 20), blend=3)
print(f"Frames {done.first:g} to {done.last:g} have another mouth")
cleaned = api.clean_up(head, tolerance=0.01)
print(f"{cleaned.before} keys became {cleaned.after}")
bpy.ops.wm.save_as_mainfile(filepath=blend)
