# Run inside Blender by `python -m engine batch --blender`: imports one avatar and saves a .blend.
# Arguments after "--": avatar file, .blend to write. Needs the extension, installed.
import sys

import addon_utils  # pyright: ignore[reportMissingImports]
import bpy  # pyright: ignore[reportMissingImports]

avatar, blend = sys.argv[sys.argv.index("--") + 1 :]
bpy.ops.wm.read_factory_settings(use_empty=True)
found = [module.__name__ for module in addon_utils.modules() if module.__name__.endswith(".gaussian_heads")]
if not found:
    raise RuntimeError("The extension Gaussian Heads is not installed in this Blender.")
if addon_utils.enable(found[0], default_set=True) is None:
    raise RuntimeError("The extension Gaussian Heads cannot be enabled in this Blender.")
bpy.ops.gaussian_heads.import_head(filepath=avatar)
bpy.context.preferences.filepaths.save_version = 0  # no .blend1 beside it
bpy.ops.wm.save_as_mainfile(filepath=blend, check_existing=False, compress=True)
