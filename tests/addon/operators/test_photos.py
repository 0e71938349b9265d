"""The list of photos: filled from files, folders and Blender's images, ordered, and judged in the background."""

import numpy as np
import pytest

import bpy  # isort: skip

from ..waiting import wait_for


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jpg", "a.PNG", "clip.mp4", "notes.txt", "c.webp"):
        (tmp_path / name).write_bytes(b"no face" if name == "b.jpg" else b"a face")
    return tmp_path


def photos():
    return bpy.context.scene.gaussian_heads.photos


def names():
    return [item.name for item in photos().items]


def test_files_and_folders_come_in_once_and_in_order(addon, folder, capfd):
    add = bpy.ops.gaussian_heads.add_photos
    assert add(directory=str(folder), files=[{"name": "c.webp"}, {"name": "notes.txt"}]) == {"FINISHED"}
    assert "notes.txt is no photo or clip of a known kind." in capfd.readouterr().out
    assert add(filepath=str(folder / "a.PNG")) == {"FINISHED"}
    assert bpy.ops.gaussian_heads.add_folder(directory=str(folder)) == {"FINISHED"}
    assert names() == ["c.webp", "a.PNG", "b.jpg", "clip.mp4"]
    with pytest.raises(RuntimeError, match="No photo was added"):
        add(filepath=str(folder / "gone.jpg"))
    with pytest.raises(RuntimeError, match="is not there"):
        bpy.ops.gaussian_heads.add_folder(directory=str(folder / "gone"))


def test_the_order_is_the_artists(addon, folder):
    bpy.ops.gaussian_heads.add_folder(directory=str(folder))
    assert names() == ["a.PNG", "b.jpg", "c.webp", "clip.mp4"]
    photos().active = 2
    bpy.ops.gaussian_heads.move_photo(direction="TOP")
    assert names() == ["c.webp", "a.PNG", "b.jpg", "clip.mp4"]
    bpy.ops.gaussian_heads.move_photo(direction="UP")
    bpy.ops.gaussian_heads.move_photo(direction="DOWN")
    assert names() == ["a.PNG", "c.webp", "b.jpg", "clip.mp4"]
    assert photos().active == 1
    bpy.ops.gaussian_heads.remove_photo()
    assert names() == ["a.PNG", "b.jpg", "clip.mp4"]
    bpy.ops.gaussian_heads.clear_photos()
    assert names() == []
    assert not bpy.ops.gaussian_heads.remove_photo.poll()


@pytest.mark.parametrize(("is_float", "is_packed"), [(False, False), (False, True), (True, False)])
def test_images_without_a_file_are_written_as_they_look(addon, parts, is_float, is_packed):
    image = bpy.data.images.new("Paint Over.png", 5, 3, float_buffer=is_float)
    values = np.random.default_rng(0).random((3, 5, 4)).astype(np.float32)
    values[..., 3] = 1
    image.pixels.foreach_set(values.reshape(-1))
    if is_packed:
        image.pack()
    assert bpy.ops.gaussian_heads.add_image(image="Paint Over.png") == {"FINISHED"}
    assert bpy.ops.gaussian_heads.add_image(image="Paint Over.png") == {"CANCELLED"}
    file = parts.photo_files.photo_file(photos().items[0])
    file.prepare()
    assert file.path.name == "Paint_Over.png"
    if is_float:  # scene linear: the file must hold what the screen shows
        values[..., :3] = np.where(values < 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)[..., :3]
    written = bpy.data.images.load(str(file.path))
    assert tuple(written.size) == (5, 3)
    np.testing.assert_allclose(np.array(written.pixels).reshape(3, 5, 4), values, atol=0.51 / 255)


def test_an_image_with_a_file_is_that_file(addon, parts, tmp_path):
    source = bpy.data.images.new("x", 4, 4)
    source.filepath_raw, source.file_format = str(tmp_path / "x.png"), "PNG"
    source.save()
    image = bpy.data.images.load(str(tmp_path / "x.png"))
    bpy.ops.gaussian_heads.add_image(image=image.name)
    assert parts.photo_files.photo_file(photos().items[0]).path == tmp_path / "x.png"
    with pytest.raises(RuntimeError, match="no image 'gone'"):
        bpy.ops.gaussian_heads.add_image(image="gone")


def test_every_photo_gets_its_verdict_once_the_engine_is_ready(stub, folder):
    bpy.ops.gaussian_heads.add_folder(directory=str(folder))
    bpy.data.images.new("Nothing", 2, 2).source = "FILE"
    bpy.ops.gaussian_heads.add_image(image="Nothing")
    assert stub.photo_checks.tick() is None  # nobody to ask
    assert {item.state for item in photos().items} == {"UNCHECKED"}

    stub.watch.start_engine()
    stub.engine.ENGINE.wait_ready(30)
    assert stub.photo_checks.tick() is not None
    assert {item.state for item in photos().items} == {"CHECKING", "BAD"}
    assert wait_for(lambda: stub.photo_checks.tick() is None)
    assert {item.name: item.state for item in photos().items} == {
        "a.PNG": "GOOD",
        "b.jpg": "BAD",
        "c.webp": "GOOD",
        "clip.mp4": "GOOD",
        "Nothing": "BAD",
    }
    messages = {item.name: item.message for item in photos().items}
    assert messages["b.jpg"] == "No face was found in b.jpg."
    assert "has no pixels" in messages["Nothing"]

    (folder / "b.jpg").write_bytes(b"now a face")
    (folder / "c.webp").unlink()
    bpy.ops.gaussian_heads.check_photos()
    assert wait_for(lambda: stub.photo_checks.tick() is None)
    states = {item.name: item.state for item in photos().items}
    assert (states["b.jpg"], states["c.webp"]) == ("GOOD", "BAD")


def test_the_engine_dies_while_it_looks(stub, folder):
    bpy.ops.gaussian_heads.add_folder(directory=str(folder))
    stub.watch.start_engine()
    stub.engine.ENGINE.wait_ready(30)
    stub.photo_checks.tick()
    stub.engine.ENGINE.close()
    assert wait_for(lambda: stub.photo_checks.tick() is None)
    assert {item.state for item in photos().items} <= {"UNCHECKED", "GOOD", "BAD"}


def test_an_undo_that_forgets_verdicts_asks_again(stub, folder):
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.gaussian_heads.add_folder(directory=str(folder))
    bpy.ops.ed.undo_push(message="photos")
    stub.watch.start_engine()
    stub.engine.ENGINE.wait_ready(30)
    assert wait_for(lambda: stub.photo_checks.tick() is None)
    bpy.context.scene.gaussian_heads.reconstruct.head_name = "Ada"
    bpy.ops.ed.undo_push(message="name")
    bpy.ops.ed.undo()
    bpy.ops.ed.undo()
    bpy.ops.ed.redo()
    assert bpy.app.timers.is_registered(stub.photo_checks.tick)
    assert wait_for(lambda: stub.photo_checks.tick() is None)
    assert all(item.state in ("GOOD", "BAD") for item in photos().items)
