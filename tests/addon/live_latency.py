"""How long it takes from a phone's packet to the head's sliders: ``BPY_PYTHON -m tests.addon.live_latency``.

The real engine, a scripted phone on loopback in a process of its own, and Blender as a module, without the window whose
timer would look for new samples: it is looked for them as often here.
"""

import importlib
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.addon import conftest
from tests.addon.engine import ROOT, engine_python, sample_avatar

bpy = conftest.bpy  # which finds the add-on only once that module has set its place
PORT, SECONDS, COUNTED = 11999, 20, 1000


def main() -> None:
    import addon_utils

    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert addon_utils.enable(conftest.PACKAGE, default_set=True) is not None
    bpy.context.preferences.addons[conftest.PACKAGE].preferences.engine_python = str(engine_python())
    live = importlib.import_module(f"{conftest.PACKAGE}.animation.live")
    bpy.ops.gaussian_heads.import_head(filepath=str(sample_avatar()))
    panel = bpy.context.scene.gaussian_heads.live
    panel.port = PORT
    bpy.ops.gaussian_heads.live_start()
    head, followed = live.current().head, live.current()
    while followed.status is None and followed.error is None:
        time.sleep(0.05)
    time.sleep(20)  # the engine goes on loading what it needs for photos
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "sent.csv")
        words = [engine_python(), "-m", "tests.engine.live.phone", str(PORT), "--seconds", str(SECONDS), "--log", log]
        phone = subprocess.Popen(words, cwd=ROOT)
        came: list[tuple[int, float]] = []
        ticks: list[float] = []
        updates: list[float] = []
        shown = -1
        while phone.poll() is None:
            began = time.monotonic()
            live.tick()
            set_at = time.monotonic()
            ticks.append(set_at - began)
            number = round(head.keys["browInnerUp"].value * COUNTED)
            if number != shown and followed.status.connected:
                came.append((number, set_at))
                shown = number
                bpy.context.view_layer.update()
                updates.append(time.monotonic() - set_at)
            time.sleep(max(began + live.TICK_SECONDS - time.monotonic(), 0))
        sent = [float(line.split(",")[1]) for line in log.read_text().splitlines()]
    late = [min(at - sent[n] for n in range(number, len(sent), COUNTED) if sent[n] < at) for number, at in came[5:]]
    late.sort()
    print(f"{len(sent)} sent, {len(late)} shown, {followed.status.dropped} dropped")
    middle, most = 1e3 * statistics.median(late), 1e3 * late[len(late) * 9 // 10]
    print(f"packet to slider: median {middle:.1f} ms, nine of ten within {most:.1f} ms")
    for what, times in (("a tick", ticks), ("Blender's update of the head", updates)):
        print(f"{what}: median {1e3 * statistics.median(times):.1f} ms, at most {1e3 * max(times):.1f} ms")
    addon_utils.disable(conftest.PACKAGE, default_set=True)


if __name__ == "__main__":
    main()
