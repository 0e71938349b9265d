"""An artist's first day, in Windows' Blender as a module: ``artist.py ARTIST.json``, which it adds its figures to.

The extension lies where Blender's installer puts it. Everything here is what the sidebar's buttons and a script do.
"""

import importlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

PACKAGE = "bl_ext.user_default.gaussian_heads"
seen = json.loads(Path(sys.argv[1]).read_text("utf-8"))
os.environ.update(seen["environment"])

import bpy  # noqa: E402 - it reads the environment
import psutil  # noqa: E402

clock = time.perf_counter
addon_utils = importlib.import_module("addon_utils")  # bpy brings it


def longest(folder: Path) -> str:
    """But for Python's own caches, without which it goes on where their paths are too long."""
    return max((str(path) for path in folder.rglob("*") if path.suffix != ".pyc"), key=len)


bpy.app.binary_path = seen["blender"]  # a module has none of its own
addon_utils.enable(PACKAGE, default_set=True)
extension = Path(sys.modules[PACKAGE].__file__).parent
preferences = importlib.import_module(f"{PACKAGE}.preferences")
engine = importlib.import_module(f"{PACKAGE}.engine_client.engine").ENGINE
api = importlib.import_module(f"{PACKAGE}.api")
local = preferences.local_dir()

# The first start: unpacking, then the engine.
told, began = [], clock()
engine.start()
while (status := engine.status).state in ("unpacking", "starting"):
    if status.message not in told:
        told.append(status.message)
    time.sleep(0.1)
assert status.state == "ready", f"{status.message} {status.hint}"
seen |= {"told": told, "first_start_s": clock() - began, "health": status.health, "local": str(local)}
unpacked = [path for path in local.rglob("*") if path.is_file() and path.suffix != ".pyc"]
seen |= {"files": len(unpacked), "bytes": sum(path.stat().st_size for path in unpacked)}

# A head from a photo, keyed, saved, and there again in the reopened file.
began = clock()
head = api.reconstruct([seen["photo"]], name="Åsa 山田", refine_seconds=1, count=20_000)
seen["head_s"] = clock() - began
api.set_expression(head, {"jawOpen": 0.7})
api.key(head, frame=12)
name, saved = head.name, str(Path(seen["work"]) / "日本.blend")
bpy.ops.wm.save_as_mainfile(filepath=saved)
bpy.ops.wm.open_mainfile(filepath=saved)
head = api.find_head(bpy.data.objects[name])
bpy.context.scene.frame_set(12)
seen |= {"jaw_open": head.keys["jawOpen"].value, "splats": len(head.splats.data.points)}

# A preview, as the viewport asks for it.
messages = importlib.import_module(f"{PACKAGE}.engine_client.messages")
client = engine.wait_ready(60)
client.put_head("one", next((preferences.user_dir() / "heads").glob("*.npz")).read_bytes())
facing = ((1, 0, 0, 0), (0, -1, 0, 0), (0, 0, -1, 0.6), (0, 0, 0, 1))
lens = ((300, 0, 128), (0, 300, 128), (0, 0, 1))
picture = client.preview("one", messages.PreviewRequest(facing, lens, 256, 256, 1, expression={"jawOpen": 0.7}))
seen["covered"] = float((picture.pixels[..., 3] > 128).mean())

# Killed, it says so and comes again; the second start unpacks nothing.
psutil.Process(engine.status.pid).kill()
while engine.state == "ready":
    time.sleep(0.05)
seen["killed"] = engine.message
began = clock()
engine.wait_ready(300)
seen["second_start_s"] = clock() - began
seen["longest"] = {"local": longest(local), "extension": longest(extension)}

# Disabled and uninstalled in one breath, as Blender does it; nothing of the engine is left.
addon_utils.disable(PACKAGE, default_set=True)
os.chdir(seen["work"])
shutil.rmtree(extension)
shutil.rmtree(preferences.user_dir())
began = clock()
while local.exists() and clock() - began < 60:
    time.sleep(0.2)
seen["left"] = [str(path) for path in (extension, local.parent) for path in (path, *path.rglob("*")) if path.exists()]
seen["sweep_s"] = clock() - began
Path(sys.argv[1]).write_text(json.dumps(seen), "utf-8")
