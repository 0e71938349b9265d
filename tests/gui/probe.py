"""Runs inside the real Blender beside the artist: writes down, ten times a second, what a person could see.

Into ``/share/state.json``; also the longest time that Blender's main thread did not come round, since the last request
(a file ``/share/forget_stalls``, removed when heeded).
"""

import json
import os
import sys
import time
import traceback

import bpy

PACKAGE = "bl_ext.user_default.gaussian_heads"
TICK = 0.02
SHARE = "/share"
last = time.perf_counter()
stalls: list[float] = []
written = 0.0

bpy.context.preferences.view.show_splash = False


def watch() -> float:
    global last, written
    now = time.perf_counter()
    stalls.append(now - last - TICK)
    last = now
    if now - written > 0.1:
        if os.path.exists(f"{SHARE}/forget_stalls"):
            stalls.clear()
            os.remove(f"{SHARE}/forget_stalls")
        write(state())
        written = last = time.perf_counter()
    return TICK


def state() -> dict:
    heads = sys.modules[f"{PACKAGE}.rig.heads"]
    engine = sys.modules[f"{PACKAGE}.engine_client.engine"].ENGINE
    scene = bpy.context.scene
    return {
        "engine": [engine.state, engine.message],
        "photos": [[photo.name, photo.state, photo.message] for photo in scene.gaussian_heads.photos.items],
        "heads": {
            head.name: {
                "expression": {name: key.value for name, key in head.keys.items() if key.value},
                "jaw": list(head.armature.pose.bones["jaw"].rotation_euler),
                "shown": head.shown,
                "animated": head.mesh.data.shape_keys.animation_data is not None,
            }
            for head in heads.all_heads(scene)
        },
        "selected": len(bpy.context.view_layer.objects.selected),
        "frame": scene.frame_current,
        "playing": any(window.screen.is_animation_playing for window in bpy.context.window_manager.windows),
        "images": [image.name for image in bpy.data.images],
        "file": bpy.data.filepath,
        "stall": max(stalls, default=0.0),
    }


def view():
    """A context in the 3D View, as for a click there."""
    window = bpy.context.window_manager.windows[0]
    area = max((area for area in window.screen.areas if area.type == "VIEW_3D"), key=lambda area: area.width)
    region = next(region for region in area.regions if region.type == "WINDOW")
    return bpy.context.temp_override(window=window, area=area, region=region)


def answer() -> float:
    """Runs what the test left in ``/share/call.py``; what it puts into ``out`` goes into ``/share/answer.json``."""
    if os.path.exists(f"{SHARE}/call.py"):
        with open(f"{SHARE}/call.py", encoding="utf-8") as file:
            code = file.read()
        os.remove(f"{SHARE}/call.py")
        out: list = []
        try:
            exec(code, {"bpy": bpy, "view": view, "out": out})
        except Exception:
            out.append(traceback.format_exc())
        with open(f"{SHARE}/answer.part", "w", encoding="utf-8") as file:
            json.dump(out, file)
        os.replace(f"{SHARE}/answer.part", f"{SHARE}/answer.json")
    return TICK


def write(content: dict) -> None:
    with open(f"{SHARE}/state.part", "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(f"{SHARE}/state.part", f"{SHARE}/state.json")


bpy.app.timers.register(watch, first_interval=1.0, persistent=True)
bpy.app.timers.register(answer, first_interval=1.0, persistent=True)
