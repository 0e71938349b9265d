"""The numbered scripts of docs/scripting.md work as they stand."""

import json
import runpy
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest

from .engine import ROOT, engine_python

SPEECH = ROOT / "tests" / "engine" / "voice"
PHOTO = ROOT / "engine" / "assets" / "files" / "samples" / "astronaut.png"


@pytest.fixture
def run(addon, monkeypatch):
    def run_sample(number: int, *arguments: object) -> None:
        (script,) = (ROOT / "samples").glob(f"{number:02}_*.py")
        monkeypatch.setattr(sys, "argv", ["blender", "--", *map(str, arguments)])
        runpy.run_path(str(script), run_name="__main__")

    return run_sample


@pytest.fixture
def engine(addon):
    """The preferences point at the engine's Python, as a developer's do."""
    if bpy.app.version < (5, 0):
        pytest.skip("A minute of the engine's work, which is the same for every Blender; the newer one has it done.")
    preferences = bpy.context.preferences.addons[addon].preferences
    preferences.engine_python = str(engine_python())
    yield
    preferences.engine_python = ""


def heads_in(blend: Path) -> list[bpy.types.Object]:
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    return [obj for obj in bpy.data.objects if "gaussian_head" in obj]


def keys_of(root: bpy.types.Object) -> bpy.types.Key:
    return next(child for child in root.children if child.type == "MESH").data.shape_keys


def test_every_sample_is_listed_and_run(request):
    page = (ROOT / "docs" / "scripting.md").read_text("utf-8")
    scripts = sorted((ROOT / "samples").glob("*.py"))
    assert [int(path.name[:2]) for path in scripts] == list(range(1, len(scripts) + 1))
    assert all(path.name in page for path in scripts)


def test_import_expressions_and_pose(run, avatar_path, tmp_path):
    run(1, avatar_path, tmp_path / "1.blend")
    assert len(heads_in(tmp_path / "1.blend")) == 1
    run(3, avatar_path, tmp_path / "3.blend")
    (head,) = heads_in(tmp_path / "3.blend")
    smile = keys_of(head).key_blocks["mouthSmileLeft"]
    values = []
    for frame in (1, 24, 48):
        bpy.context.scene.frame_set(frame)
        values.append(smile.value)
    assert values == pytest.approx([0, 0.8, 0], abs=1e-6)
    run(4, avatar_path, tmp_path / "4.blend")
    (head,) = heads_in(tmp_path / "4.blend")
    rig = next(child for child in head.children if child.type == "ARMATURE")
    bpy.context.scene.frame_set(10)
    assert rig.pose.bones["neck"].rotation_euler.x == pytest.approx(np.radians(15))


def test_capture(run, avatar_path, tmp_path):
    rows = ["Timecode,BlendShapeCount,JawOpen,MouthClose,HeadYaw,HeadPitch,HeadRoll,Unknown"]
    rows += [f"00:00:{k // 60:02}:{k % 60:02}.000,61,{k / 60},0,{k / 120},0,0,1" for k in range(60)]
    (tmp_path / "take.csv").write_text("\n".join(rows))
    run(5, avatar_path, tmp_path / "take.csv", tmp_path / "5.blend")
    (head,) = heads_in(tmp_path / "5.blend")
    jaw = keys_of(head).key_blocks["jawOpen"]
    bpy.context.scene.frame_set(13)  # half a second in, at 24 frames a second
    assert jaw.value == pytest.approx(0.5, abs=0.02)


def test_takes(run, avatar_path, tmp_path):
    for name, value in (("line", 0.2), ("mouth", 0.8)):
        rows = [f"00:00:{k // 60:02}:{k % 60:02}.000,61,{value},{value}" for k in range(90)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["Timecode,BlendShapeCount,JawOpen,BrowInnerUp", *rows]))
    run(10, avatar_path, tmp_path / "line.csv", tmp_path / "mouth.csv", tmp_path / "10.blend")
    (head,) = heads_in(tmp_path / "10.blend")
    keys = keys_of(head).key_blocks
    shown = []
    for frame in (5, 15, 25):
        bpy.context.scene.frame_set(frame)
        shown.append((keys["jawOpen"].value, keys["browInnerUp"].value))
    np.testing.assert_allclose(shown, [(0.2, 0.2), (0.8, 0.2), (0.2, 0.2)], atol=0.011)


def test_render(run, avatar_path, tmp_path):
    run(6, avatar_path, tmp_path / "pictures")
    names = ["still.png", *(f"turn_{frame:04}.png" for frame in range(1, 5))]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == names
    images = [bpy.data.images.load(str(tmp_path / "pictures" / name)) for name in (names[0], names[1], names[4])]
    still, left, right = (np.array(image.pixels[:]).reshape(image.size[1], image.size[0], 4) for image in images)
    assert 0.2 < (still[..., 3] > 0.9).mean() < 0.95
    assert np.abs(left - right).mean() > 0.01


def test_perform(run, engine, avatar_path, tmp_path):
    run(9, avatar_path, PHOTO.with_name("single_face.mp4"), tmp_path / "9.blend")
    (head,) = heads_in(tmp_path / "9.blend")
    action = keys_of(head).animation_data.action
    assert action is not None and bpy.context.scene.frame_end > 40


def test_speak(run, engine, avatar_path, tmp_path):
    text = json.loads((SPEECH / "speech.json").read_text("utf-8"))["text"]
    run(11, avatar_path, SPEECH / "speech.flac", tmp_path / "11.blend", text)
    (head,) = heads_in(tmp_path / "11.blend")
    blocks = keys_of(head).key_blocks
    opened = []
    for frame in range(2, 55, 6):
        bpy.context.scene.frame_set(frame)
        opened.append(blocks["jawOpen"].value - blocks["mouthClose"].value)
    assert max(opened) > 0.15 and min(opened) > -1e-6


def test_reconstruct_export_and_people(run, engine, tmp_path):
    run(2, tmp_path / "ada.blend", PHOTO)
    assert [head.name for head in heads_in(tmp_path / "ada.blend")] == ["Ada"]
    run(7, tmp_path / "files")
    assert {path.suffix for path in (tmp_path / "files").iterdir()} == {".npz", ".ply"}
    person = tmp_path / "people" / "Grace"
    person.mkdir(parents=True)
    (person / "photo.png").write_bytes(PHOTO.read_bytes())
    (tmp_path / "people" / "Nobody").mkdir()
    (tmp_path / "people" / "Nobody" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "blends").mkdir()
    with pytest.raises(SystemExit, match="Nobody: .*broken"):
        run(8, tmp_path / "people", tmp_path / "blends")
    assert [head.name for head in heads_in(tmp_path / "blends" / "Grace.blend")] == ["Grace"]
