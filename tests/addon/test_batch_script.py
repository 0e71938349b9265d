"""The script that ``python -m engine batch --blender`` runs inside Blender, run in one."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "engine" / "blender" / "save_head.py"


def test_an_avatar_file_becomes_a_blend_with_a_rigged_head(avatar_path, tmp_path):
    import bpy

    blend = tmp_path / "head.blend"
    run = f"import bpy; exec(compile(open({str(SCRIPT)!r}).read(), 'save_head.py', 'exec'))"
    subprocess.run([sys.executable, "-c", run, "--", str(avatar_path), str(blend)], check=True)
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    kinds = {obj.type for obj in bpy.data.objects}
    assert kinds == {"EMPTY", "MESH", "ARMATURE", "POINTCLOUD"}
    assert [path.name for path in tmp_path.iterdir()] == ["head.blend"]
