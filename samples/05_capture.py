"""Put a face capture (Live Link Face or ARKit CSV) onto a head, at half strength for the head's turns.

blender --background --python samples/05_capture.py -- me.npz take.csv acting.blend
"""

import sys

import bpy
from bl_ext.user_default.gaussian_heads import api

avatar, take, blend = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = api.import_head(avatar)
face = api.import_capture(head, take, parts=["FACE"])
turns = api.import_capture(head, take, parts=["HEAD"], strength=0.5)
print(f"Frames {face.first:g} to {face.last:g}: {face.keys} shape keys and {', '.join(turns.bones) or 'no bones'}")
for note in {*face.notes, *turns.notes}:
    print(note)
bpy.ops.wm.save_as_mainfile(filepath=blend)
