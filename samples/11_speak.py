"""Let a head say what a voice says. The text is optional, and makes lips exact where it is English.

blender --background --python samples/11_speak.py -- me.npz voice.wav speaking.blend "What is said."
"""

import sys

import bpy
from bl_ext.user_default.gaussian_heads import api

avatar, voice, blend, *text = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = api.import_head(avatar)
done = api.speak(head, voice, " ".join(text), liveliness=0.5, seed=1)
print(f"Frames {done.first:g} to {done.last:g}: {done.keys} shape keys and {', '.join(done.bones) or 'no bones'}")
for note in done.notes:
    print(note)
bpy.ops.wm.save_as_mainfile(filepath=blend)
