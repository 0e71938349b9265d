"""Put an actor's performance, read off a video clip, onto a head.

blender --background --python samples/09_perform.py -- me.npz clip.mp4 acting.blend
"""

import sys

import bpy
from bl_ext.user_default.gaussian_heads import api

avatar, clip, blend = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = api.import_head(avatar)
done = api.animate_from_clip(head, clip, parts=["FACE", "HEAD"])
print(f"Frames {done.first:g} to {done.last:g}: {done.keys} shape keys and {', '.join(done.bones) or 'no bones'}")
for note in done.notes:
    print(note)
bpy.ops.wm.save_as_mainfile(filepath=blend)
