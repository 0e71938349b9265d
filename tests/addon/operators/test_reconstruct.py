"""From photos to a head in the scene: in the background for artists, at once for scripts, and through every mishap."""

import importlib
import json
import shutil

import pytest

import bpy  # isort: skip

from ..engine import ROOT, engine_python
from ..waiting import KILLED, kill, wait_for

FACE = ROOT / "engine" / "assets" / "files" / "samples" / "astronaut.png"


@pytest.fixture
def photo(tmp_path):
    """A photo in the panel's list."""
    path = tmp_path / "front.png"
    shutil.copy(FACE, path)
    bpy.ops.gaussian_heads.add_photos(filepath=str(path))
    return path


@pytest.fixture
def real(parts, addon, monkeypatch):
    """The add-on with the real engine."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(ROOT / "build" / "tests" / "numba"))
    bpy.context.preferences.addons[addon].preferences.engine_python = str(engine_python())
    return parts


def test_a_network_takes_no_flame_file_and_an_older_engine_is_named(stub, addon, photo, tmp_path):
    flame = tmp_path / "flame.npz"
    flame.write_bytes(b"")
    with pytest.raises(RuntimeError, match="uika is a network that only knows the default head"):
        bpy.ops.gaussian_heads.reconstruct(system="uika", head_model=str(flame))
    assert stub.reconstruction.current() is None

    obstacle = importlib.import_module(f"{addon}.panels.reconstruct").obstacle
    settings = bpy.context.scene.gaussian_heads.reconstruct
    older, current = {"systems": ["surface"]}, {"systems": ["surface", "uika"]}
    for health in (None, {}, older, current):
        assert obstacle(settings, health) == ""
    settings.system = "uika"
    for health in (None, {}, current):  # one that does not say what it has may have it
        assert obstacle(settings, health) == ""
    assert "does not have the system uika. Choose surface" in obstacle(settings, older)
    settings.head_model = "FLAME"
    assert "only knows the default head" in obstacle(settings, current)
    settings.system = "surface"
    assert obstacle(settings, older) == ""

    # what is asked for all the same arrives at the engine, which answers for itself
    assert bpy.ops.gaussian_heads.reconstruct(system="uika", head_model="makehuman") == {"FINISHED"}
    answer = stub.engine.ENGINE.wait_ready(30)._json("GET", "/seen")
    assert [upload["system"] for upload in answer["uploads"]] == ["uika"]


def test_weights_of_ones_own_are_listed_chosen_and_asked_for_by_name(stub, addon, photo, tmp_path, monkeypatch):
    """The engine is given their path when it starts; a request only says the name."""
    official = {"name": "uika.safetensors", "holds": "UIKA's official weights", "licence": "MIT", "system": "uika"}
    official |= {"head": "flame", "missing": "FLAME 2023's file", "problem": ""}
    monkeypatch.setenv("STUB_HEALTH", json.dumps({"weights": [official, {"name": 7}, "no"]}))
    preferences = bpy.context.preferences.addons[addon].preferences
    path, flame = tmp_path / "uika.safetensors", tmp_path / "flame2023.npz"
    flame.write_bytes(b"")
    with pytest.raises(RuntimeError, match="no file of weights"):
        bpy.ops.gaussian_heads.add_weights(filepath=str(photo))
    try:
        assert bpy.ops.gaussian_heads.add_weights(filepath=str(path)) == {"FINISHED"}
        engine = stub.engine.ENGINE
        engine.wait_ready(30)
        assert engine.health["words"][-2:] == ["--weights", str(path)]

        settings = bpy.context.scene.gaussian_heads.reconstruct
        settings.system, settings.weights = "uika", path.name
        obstacle = importlib.import_module(f"{addon}.panels.reconstruct").obstacle
        assert "They need FLAME 2023's file" in obstacle(settings, engine.health)
        with pytest.raises(RuntimeError, match="know another head model"):
            bpy.ops.gaussian_heads.reconstruct()
        settings.head_model, preferences.flame_path = "FLAME", str(flame)
        assert obstacle(settings, engine.health) == ""
        assert bpy.ops.gaussian_heads.reconstruct() == {"FINISHED"}
        assert bpy.ops.gaussian_heads.reconstruct(system="surface") == {"FINISHED"}
        uploads = engine.wait_ready(30)._json("GET", "/seen")["uploads"]
        assert [upload.get("weights") for upload in uploads] == [path.name, None]
        assert uploads[0]["head"] == str(flame)
    finally:
        preferences.flame_path = ""
        while len(preferences.weights):
            bpy.ops.gaussian_heads.remove_weights(index=0)
    engine.wait_ready(30)
    assert "--weights" not in engine.health["words"]


def test_the_time_is_said_beforehand_and_follows_what_the_engine_turned_out_to_be(stub, addon, photo):
    panel = importlib.import_module(f"{addon}.panels.reconstruct")
    engine = stub.engine.ENGINE
    engine.wait_ready(30)
    settings, items = bpy.context.scene.gaussian_heads.reconstruct, bpy.context.scene.gaussian_heads.photos.items

    def said():
        return panel.expected_time(settings, items, engine.status.health)

    assert said() == "Takes about 3 min"  # 200 s
    items[0].path = str(photo.with_name("me.mp4"))
    assert said() == "Takes about 4 min"
    items[0].path = str(photo)
    settings.quality = "HIGH"
    assert said() == "Takes about 33 min"
    assert panel.expected_time(settings, items, {}) == panel.expected_time(settings, [], engine.status.health) == ""
    settings.quality = "STANDARD"
    assert bpy.ops.gaussian_heads.reconstruct() == {"FINISHED"}
    assert wait_for(lambda: said() == "Takes about 7 min", 10)  # the stub is twice as slow after a job


def press_reconstruct(parts):
    """What the button does; without a window, Blender would let the operator wait."""
    items = bpy.context.scene.gaussian_heads.photos.items
    photos = tuple(parts.photo_files.photo_file(item) for item in items)
    request = parts.reconstruction.Request(photos, "Ada", parts.messages.JobOptions(count=20_000, refine_seconds=0))
    parts.reconstruction.start(bpy.context, request)


def wait_until_done(parts):
    """The job is over, and Blender has not looked at it yet."""
    assert wait_for(lambda: parts.reconstruction.current().job.snapshot().is_over, 30)


def let_timer_run(parts, ticks=1000):
    for _ in range(ticks):
        if parts.reconstruction.tick() is None:
            return
    assert ticks < 1000


def heads(parts):
    return [head.name for head in parts.heads.all_heads(bpy.context.scene)]


def push():
    bpy.ops.ed.undo_push(message="Something")


def test_the_whole_way_with_the_real_engine(real, tmp_path, capfd):
    names = {"Größe.png": FACE.read_bytes(), "broken.jpg": b"\xff\xd8\xff\xe0 half a photo"}
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    wall = bpy.data.images.new("Wall", 200, 200)
    wall.pack()
    bpy.ops.gaussian_heads.add_folder(directory=str(tmp_path))
    bpy.ops.gaussian_heads.add_image(image="Wall")
    assert bpy.ops.gaussian_heads.reconstruct(head_name="Ada", count=20_000, refine_seconds=0) == {"FINISHED"}
    printed = capfd.readouterr().out
    assert "broken.jpg" in printed
    assert "Wall.png" in printed
    assert "Gaussian Heads:" in printed

    (head,) = real.heads.all_heads(bpy.context.scene)
    assert head.name == "Ada"
    assert bpy.context.view_layer.objects.active == head.root
    assert len(head.keys) == 52
    assert len(head.splats.data.points) > 20_000
    kept = list((real.preferences.user_dir() / "heads").glob("Ada-*.npz"))
    assert kept

    saved = tmp_path / "ada.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(saved))
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    assert heads(real) == ["Ada"]

    with pytest.raises(RuntimeError, match=r"broken\.jpg"):
        bpy.ops.gaussian_heads.reconstruct(filepaths=str(tmp_path / "broken.jpg"), refine_seconds=0)


def test_the_real_engine_is_killed_in_a_job(real, photo):
    press_reconstruct(real)
    job = real.reconstruction.current().job
    assert wait_for(lambda: job.snapshot().state == "running", 60)
    kill(real.engine.ENGINE.status.pid)
    assert wait_for(lambda: job.snapshot().is_over)
    let_timer_run(real)
    snapshot = job.snapshot()
    assert snapshot.state == "failed"
    assert f"stopped unexpectedly ({KILLED}" in snapshot.message
    assert "Try again" in snapshot.hint
    assert heads(real) == []
    assert not real.reconstruction.current().is_running


def test_the_button_returns_at_once_and_the_head_comes_by_itself(stub, photo):
    press_reconstruct(stub)
    running = stub.reconstruction.current()
    assert running.is_running
    assert heads(stub) == []
    with pytest.raises(stub.errors.AddonError, match="on its way already"):
        press_reconstruct(stub)
    wait_until_done(stub)
    push()
    let_timer_run(stub)
    (name,) = heads(stub)
    assert running.head_name == name == bpy.context.view_layer.objects.active.name
    assert not running.is_running
    assert [scene.name for scene in bpy.data.scenes] == ["Scene"]

    bpy.ops.ed.undo()
    assert heads(stub) == []
    bpy.ops.ed.redo()
    assert heads(stub) == [name]


def test_undo_during_the_job_and_while_the_head_is_built(stub, photo):
    push()
    bpy.data.objects.new("Something", None)
    push()
    press_reconstruct(stub)
    bpy.ops.ed.undo()
    wait_until_done(stub)
    let_timer_run(stub, 3)
    assert stub.reconstruction.current().steps is not None
    bpy.ops.ed.redo()
    bpy.ops.ed.undo()
    let_timer_run(stub)
    assert len(heads(stub)) == 1
    assert [scene.name for scene in bpy.data.scenes] == ["Scene"]


def test_a_file_that_is_saved_meanwhile_holds_the_whole_head(stub, photo, tmp_path):
    press_reconstruct(stub)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "before.blend"))
    wait_until_done(stub)
    let_timer_run(stub, 3)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "after.blend"))
    assert len(heads(stub)) == 1
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "after.blend"))
    assert len(heads(stub)) == 1
    assert [scene.name for scene in bpy.data.scenes] == ["Scene"]


@pytest.mark.parametrize("when", ["during the job", "while the head is built"])
def test_another_file_is_opened_and_the_artist_is_asked(stub, photo, tmp_path, when):
    other = tmp_path / "other.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(other), copy=True)
    press_reconstruct(stub)
    if when == "while the head is built":
        wait_until_done(stub)
        let_timer_run(stub, 3)
    bpy.ops.wm.open_mainfile(filepath=str(other))
    wait_until_done(stub)
    let_timer_run(stub)
    assert heads(stub) == []
    running = stub.reconstruction.current()
    assert "no longer open" in running.question
    assert running.kept.exists()
    assert bpy.ops.gaussian_heads.import_result() == {"FINISHED"}
    assert heads(stub) == [running.head_name]
    with pytest.raises(RuntimeError, match="No finished head is waiting"):
        bpy.ops.gaussian_heads.import_result()


def test_the_scene_is_deleted_during_the_job(stub, photo):
    press_reconstruct(stub)
    before = bpy.context.scene
    bpy.data.scenes.new("Other")
    bpy.data.scenes.remove(before)
    wait_until_done(stub)
    let_timer_run(stub)
    assert stub.reconstruction.current().question
    bpy.ops.gaussian_heads.import_result()
    assert len(heads(stub)) == 1


def test_the_head_waits_until_edit_mode_is_left(stub, photo):
    mesh = bpy.data.objects.new("Mesh", bpy.data.meshes.new("Mesh"))
    bpy.context.collection.objects.link(mesh)
    bpy.context.view_layer.objects.active = mesh
    bpy.ops.object.mode_set(mode="EDIT")
    press_reconstruct(stub)
    wait_until_done(stub)
    let_timer_run(stub, 5)
    assert "leave this mode" in stub.reconstruction.current().holding
    assert heads(stub) == []
    bpy.ops.object.mode_set(mode="OBJECT")
    let_timer_run(stub)
    assert len(heads(stub)) == 1


def test_cancel(stub, photo, monkeypatch):
    monkeypatch.setenv("STUB", "slow")
    assert not bpy.ops.gaussian_heads.cancel_reconstruct.poll()
    press_reconstruct(stub)
    job = stub.reconstruction.current().job
    assert wait_for(lambda: job.snapshot().state == "running")
    bpy.ops.gaussian_heads.cancel_reconstruct()
    assert job.snapshot().state == "cancelled"
    let_timer_run(stub)
    assert heads(stub) == []
    client = stub.engine.ENGINE.client
    assert wait_for(lambda: client._json("GET", "/seen")["cancelled"] == ["job0"], 2)
    bpy.ops.gaussian_heads.dismiss_result()
    assert stub.reconstruction.current() is None


def test_the_addon_is_disabled_in_a_job(stub, photo, monkeypatch):
    monkeypatch.setenv("STUB", "slow")
    press_reconstruct(stub)
    job = stub.reconstruction.current().job
    assert wait_for(lambda: job.snapshot().state == "running")
    # The fixture disables it; tests/addon/test_registration.py looks at what stays.


def test_what_cannot_begin_says_why(stub, tmp_path, addon):
    reconstruct = bpy.ops.gaussian_heads.reconstruct
    with pytest.raises(RuntimeError, match="There are no photos"):
        reconstruct()
    bpy.ops.gaussian_heads.add_photos(filepath=str(shutil.copy(FACE, tmp_path / "a.png")))
    bpy.context.scene.gaussian_heads.reconstruct.head_model = "FLAME"
    with pytest.raises(RuntimeError, match="No FLAME file is set"):
        reconstruct()
    bpy.context.preferences.addons[addon].preferences.flame_path = str(tmp_path / "gone.pkl")
    with pytest.raises(RuntimeError, match=r"gone\.pkl is not there"):
        reconstruct()
    bpy.context.scene.gaussian_heads.reconstruct.head_model = "MAKEHUMAN"
    bpy.context.preferences.addons[addon].preferences.engine_python = str(tmp_path / "no python")
    with pytest.raises(RuntimeError, match="cannot be started"):
        reconstruct()
