"""What a changed frame of 130 000 Gaussians costs the main thread, drawing itself left to the GPU.

Not a test: run it with a Python that has Blender, ``-m pytest -s tests/addon/viewport/benchmark.py``.
"""

import statistics
import time

import bpy
import numpy as np

COUNT = 130_000
REPEATS = 15
GAUSSIANS = ("triangles", "barycentrics", "offsets", "quats", "scales", "opacities", "colors", "parts")


def test_frame(part, avatar_path, camera, monkeypatch):
    files, splats_module = part("rig.avatar_file"), part("viewport.splats")
    avatar = files.read_avatar(avatar_path)
    rows = np.arange(COUNT) % len(avatar.triangles)
    arrays = avatar.arrays | {name: avatar.arrays[name][rows] for name in GAUSSIANS}
    head = part("rig.build").build(files.AvatarFile(arrays, avatar.metadata), bpy.context)
    layer = bpy.context.view_layer
    view = part("viewport.camera").scene_view(bpy.context.scene, bpy.context.evaluated_depsgraph_get(), 640, 400)
    splats, target = splats_module.Splats(), splats_module.Target(view.size)
    monkeypatch.setattr(target, "_paint", lambda *_: None)
    times = {}

    def timed(name, work):
        started = time.perf_counter()
        work()
        times.setdefault(name, []).append(1e3 * (time.perf_counter() - started))

    changes = part("tasks.changes").CHANGES
    depsgraph = bpy.context.evaluated_depsgraph_get()
    places = [part("viewport.placed").place_of(head.splats, depsgraph)]
    for step in range(REPEATS + 1):
        head.keys["jawOpen"].value = step / REPEATS
        timed("evaluation by Blender", layer.update)
        timed("read and upload", lambda: splats.update(places))
        timed("sort and upload", lambda: target.draw(splats, places, view.view, view.window))
        timed("redraw of what did not change", lambda: target.draw(splats, places, view.view, view.window))
        timed("handler", lambda: changes.note(depsgraph))
    print()
    for name, measured in times.items():
        print(f"{name:32} {statistics.median(measured[1:]):7.2f} ms")
