"""Key a smile that comes, stays and goes; the keys are ordinary F-curves on shape keys.

blender --background --python samples/03_expressions.py -- me.npz smile.blend
"""

import sys

import bpy
from bl_ext.user_default.gaussian_heads import api

avatar, blend = sys.argv[sys.argv.index("--") + 1 :]
SMILE = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.7, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4}

bpy.ops.wm.read_homefile(use_empty=True)
head = api.import_head(avatar)
for frame, expression in ((1, {}), (12, SMILE), (36, SMILE), (48, {})):
    api.set_expression(head, expression)
    api.key(head, frame, SMILE)
bpy.context.scene.frame_end = 48
bpy.ops.wm.save_as_mainfile(filepath=blend)
