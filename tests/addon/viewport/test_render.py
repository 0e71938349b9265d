"""An artist renders heads without Blender 5.3: stills, sequences, over the scene, and what goes wrong."""

from pathlib import Path

import bpy
import numpy as np
import pytest

from .scene import SIZE, pose


def srgb(linear):
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def read_exr(path):
    """[H, W, 4] as stored."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.is_data, image.alpha_mode = True, "CHANNEL_PACKED"
    pixels = np.empty((image.size[1], image.size[0], 4), np.float32)
    image.pixels.foreach_get(pixels.reshape(-1))
    bpy.data.images.remove(image)
    return pixels[::-1]


@pytest.fixture
def output(camera):
    """The scene's output: the tests' size in another way, PNG of 16 bits."""
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = 2 * SIZE[0], 2 * SIZE[1], 50
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    render.image_settings.color_depth = "16"
    return render


@pytest.fixture
def head(make_head):
    head = make_head()
    pose(head)
    return head


def test_a_still_is_the_engines_picture_in_every_format(part, head, camera, output, engine_picture, read_png, tmp_path):
    depsgraph = bpy.context.evaluated_depsgraph_get()
    view = part("viewport.camera").scene_view(bpy.context.scene, depsgraph)
    assert view.size == SIZE
    state = part("rig.extract").pose_state(head, depsgraph)
    truth = engine_picture(part("viewport.camera").engine_camera(view, state.world), state, SIZE)
    alpha = truth[..., 3:]
    straight = np.clip(truth[..., :3] / np.maximum(alpha, 1e-6), 0, 1)
    solid = truth[..., 3] > 0.1

    scenes, images = len(bpy.data.scenes), len(bpy.data.images)
    assert bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "still"), depth=True) == {"FINISHED"}
    png = read_png(tmp_path / "still.png")
    assert png.dtype == np.uint16
    assert np.abs(png[..., 3] / 65535 - truth[..., 3]).mean() * 255 < 0.1
    assert np.abs(png[..., :3] / 65535 - straight)[solid].mean() * 255 < 0.2

    output.image_settings.color_depth = "8"
    bpy.context.scene.view_settings.exposure = 2.0  # belongs to the scene's light, not to the Gaussians
    assert bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "small")) == {"FINISHED"}
    small = read_png(tmp_path / "small.png")
    assert small.dtype == np.uint8
    assert np.abs(small / 255 - png / 65535).max() < 1 / 255

    output.image_settings.file_format, output.image_settings.color_depth = "OPEN_EXR", "32"
    assert bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "linear")) == {"FINISHED"}
    exr = read_exr(tmp_path / "linear.exr")
    assert np.abs(exr[..., 3] - truth[..., 3]).mean() * 255 < 0.1
    assert np.abs(srgb(exr[..., :3] / np.maximum(exr[..., 3:], 1e-6)) - straight)[solid].mean() * 255 < 0.2

    metres = read_exr(tmp_path / "still_depth.exr")[..., 0]
    face = metres[truth[..., 3] > 0.99]
    assert metres.shape == truth.shape[:2]
    assert 0.6 < face.min() < face.max() < 1.4  # the camera stands a metre away
    assert (metres[truth[..., 3] < 0.4] > 1e9).all()

    assert (len(bpy.data.scenes), len(bpy.data.images)) == (scenes, images + 1)
    shown = bpy.data.images["Gaussian Heads Render"]
    assert Path(bpy.path.abspath(shown.filepath)) == tmp_path / "linear.exr"
    assert tuple(shown.size) == SIZE
    assert not shown.is_dirty  # saving the .blend asks no questions
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_animation_has_blenders_names_and_moves(part, head, camera, output, read_png, tmp_path):
    scene = bpy.context.scene
    key = head.keys["jawOpen"]
    for frame, value in ((1, 0.0), (5, 1.0)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    scene.frame_set(9)
    words = {"animation": True, "frame_start": 1, "frame_end": 5, "width": 96, "height": 64, "depth": True}
    scene.frame_step = 2
    assert bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "shot_###"), **words) == {"FINISHED"}
    names = ["shot_001.png", "shot_003.png", "shot_005.png"]
    assert sorted(path.name for path in tmp_path.glob("shot_0*")) == names
    assert sorted(path.name for path in tmp_path.glob("shot_depth_*")) == [
        "shot_depth_001.exr",
        "shot_depth_003.exr",
        "shot_depth_005.exr",
    ]
    first, middle, last = (read_png(tmp_path / name).astype(float) for name in names)
    assert first.shape == (64, 96, 4)
    assert np.abs(first - last).mean() > np.abs(first - middle).mean() > 10
    assert scene.frame_current == 9
    assert bpy.ops.gaussian_heads.render_splats(
        filepath=str(tmp_path / "again"), animation=True, frame_start=3, frame_end=3, width=96, height=64
    ) == {"FINISHED"}
    assert np.array_equal(read_png(tmp_path / "again0003.png"), middle)


def test_over_the_scene_surfaces_hide_what_is_behind_them(part, head, camera, output, read_png, tmp_path):
    """A white wall behind the head, and a black board before its left half."""
    scene = bpy.context.scene
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.display.shading.light, scene.display.shading.color_type = "FLAT", "OBJECT"
    scene.view_settings.view_transform = "Standard"

    def board(name, size, place, color):
        bpy.ops.mesh.primitive_plane_add(size=size, location=place, rotation=(np.pi / 2, 0, 0))
        bpy.context.object.name, bpy.context.object.color = name, color

    board("wall", 4.0, (0, 1, 0), (1, 1, 1, 1))
    board("board", 1.0, (0.55, -0.4, 0), (0, 0, 0, 1))
    assert bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "alone"), over_scene=False) == {"FINISHED"}
    assert bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "over"), over_scene=True) == {"FINISHED"}
    alone, over = (read_png(tmp_path / f"{name}.png") / 65535 for name in ("alone", "over"))
    assert (over[..., 3] > 0.99).all()
    hidden = (over[..., :3].max(axis=-1) < 0.01) & (alone[..., 3] > 0.99) & (alone[..., :3].max(axis=-1) > 0.2)
    assert hidden.mean() > 0.02
    left = slice(0, SIZE[0] // 4)
    expected = alone[:, left, :3] * alone[:, left, 3:] + 1.0 - alone[:, left, 3:]
    assert np.abs(over[:, left, :3] - expected).mean() * 255 < 1.0
    assert scene.render.image_settings.file_format == "PNG"


def leave_out_heads(scene, file):
    for obj in scene.objects:
        obj.hide_render = obj.type == "EMPTY"


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda scene, file: setattr(scene, "camera", None), "no camera"),
        (leave_out_heads, "No Gaussian head"),
        (lambda scene, file: setattr(scene.camera.data, "type", "PANO"), "panoramic"),
        (lambda scene, file: setattr(scene.render, "filepath", str(file / "x")), "cannot be written"),
        (lambda scene, file: setattr(scene.render, "filepath", "//x"), "not saved yet"),
        (lambda scene, file: None, "no frames"),
        (lambda scene, file: setattr(scene.render, "resolution_x", 65536), "GPU draws"),
    ],
)
def test_what_cannot_be_rendered_is_said(part, head, camera, output, tmp_path, break_it, sentence):
    """``file`` is a file, below which nothing can be."""
    output.resolution_percentage = 100
    scenes = len(bpy.data.scenes)
    file = tmp_path / "file"
    file.touch()
    break_it(bpy.context.scene, file)
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.gaussian_heads.render_splats(animation="frames" in sentence, frame_start=5, frame_end=4)
    assert len(bpy.data.scenes) == scenes


def shot(read_png, path, **words):
    assert bpy.ops.gaussian_heads.render_splats(filepath=str(path), **words) == {"FINISHED"}
    return read_png(path.with_suffix(".png")).astype(float) / 65535


def test_camera_icons_decide_and_what_viewports_hide_is_rendered(part, head, camera, output, read_png, tmp_path):
    seen = shot(read_png, tmp_path / "seen")
    collection = head.root.users_collection[0]
    layer = bpy.context.view_layer.layer_collection.children[collection.name]
    for number, (owner, name) in enumerate(((head.root, "hide_viewport"), (layer, "hide_viewport"))):
        setattr(owner, name, True)
        bpy.context.view_layer.update()
        assert np.abs(shot(read_png, tmp_path / f"hidden{number}") - seen).max() < 1e-3
        assert getattr(owner, name)  # as the artist left it
        setattr(owner, name, False)
    for owner, name in ((head.root, "hide_render"), (collection, "hide_render"), (layer, "exclude")):
        setattr(owner, name, True)
        with pytest.raises(RuntimeError, match="No Gaussian head is rendered"):
            bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "none"))
        setattr(owner, name, False)
    assert ".gaussian_heads_stage" not in bpy.data.scenes


def test_the_render_region_and_the_files_ending_are_the_scenes(part, head, camera, output, read_png, tmp_path):
    whole = shot(read_png, tmp_path / "whole")
    output.use_border, output.border_min_x, output.border_max_x = True, 0.25, 0.75
    output.border_min_y, output.border_max_y = 0.5, 1.0
    kept = shot(read_png, tmp_path / "kept")
    rows, columns = slice(0, SIZE[1] // 2), slice(SIZE[0] // 4, 3 * SIZE[0] // 4)
    assert np.array_equal(kept[rows, columns], whole[rows, columns])
    kept[rows, columns] = 0
    assert not kept.any()
    output.use_crop_to_border = True
    bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "cropped.jpg"))
    assert np.array_equal(read_png(tmp_path / "cropped.png") / 65535, whole[rows, columns])
    assert not (tmp_path / "cropped.jpg").exists()


def test_one_broken_head_is_left_out_by_name(part, head, make_head, camera, output, read_png, tmp_path):
    alone = shot(read_png, tmp_path / "alone")
    broken = make_head()
    broken.splats.modifiers[0].show_viewport = False
    assert np.abs(shot(read_png, tmp_path / "beside") - alone).max() < 1e-3
    head.root.hide_render = True
    with pytest.raises(RuntimeError, match=broken.splats.data.name):
        bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "none"))


def test_instances_of_a_heads_collection_are_heads(part, make_head, camera, output, read_png, tmp_path):
    first, second = make_head(), make_head()
    second.root.location = (0.2, 0.1, 0.05)
    twice = shot(read_png, tmp_path / "twice")
    bpy.data.objects.remove(second.root)
    for obj in second.parts[1:]:
        bpy.data.objects.remove(obj)
    empty = bpy.data.objects.new("instance", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", first.root.users_collection[0]
    empty.location = (0.2, 0.1, 0.05)
    bpy.context.scene.collection.objects.link(empty)
    assert np.abs(shot(read_png, tmp_path / "instanced") - twice).max() < 1e-2


def test_motion_blur_is_the_mean_light_while_the_shutter_is_open(part, head, camera, output, tmp_path):
    """Two samples of a shutter that is open for two frames: half a frame and one and a half after its start."""
    scene = bpy.context.scene
    head.root.animation_data_clear()
    for frame, x in ((1, 0.0), (9, 0.4)):
        head.root.location.x = x
        head.root.keyframe_insert("location", index=0, frame=frame)
    output.image_settings.file_format, output.image_settings.color_depth = "OPEN_EXR", "32"
    means = []
    for frame, part_of in ((4, 0.5), (5, 0.5)):
        scene.frame_set(frame, subframe=part_of)
        bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "sharp"))
        means.append(read_exr(tmp_path / "sharp.exr"))
    scene.frame_set(4)
    output.use_motion_blur, output.motion_blur_shutter, output.motion_blur_position = True, 2.0, "START"
    bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "blurred"), samples=2)
    assert np.abs(read_exr(tmp_path / "blurred.exr") - np.mean(means, axis=0)).max() < 1e-4
    assert np.abs(means[0] - means[1]).max() > 0.3
    assert scene.frame_current_final == 4


def test_depth_of_field_is_a_lens(part, head, camera, output, read_png, tmp_path):
    """A point is sharp at the focus distance, and elsewhere a disk of the size that the thin lens' formula gives."""
    exposure, view_of = part("viewport.exposure"), part("viewport.camera").scene_view
    scene, data = bpy.context.scene, bpy.context.scene.camera.data
    sharp = shot(read_png, tmp_path / "sharp")
    data.dof.use_dof, data.dof.focus_distance, data.dof.aperture_fstop = True, 1.0, 0.5
    depsgraph = bpy.context.evaluated_depsgraph_get()
    view = view_of(scene, depsgraph)
    eye = scene.camera.evaluated_get(depsgraph)

    def pixels(view, metres):
        clip = np.array(view.window @ view.view @ eye.matrix_world) @ (0.02, 0.03, -metres, 1.0)
        return clip[:2] / clip[3] * np.array(SIZE) / 2

    points = [point for _, point in exposure.samples(scene, 64)]
    assert np.abs(np.mean(points, axis=0)).max() < 0.05 and np.linalg.norm(points, axis=1).max() <= 1.0
    for metres in (0.5, 1.0, 3.0):
        seen = [pixels(exposure.through_lens(view, eye, p), metres) - pixels(view, metres) for p in points]
        radius = 0.5 * data.lens * 1e-3 / 0.5  # of the aperture, m
        focal = np.array((view.window[0][0], view.window[1][1])) * SIZE / 2
        disk = radius * focal * abs(1 / metres - 1.0)
        np.testing.assert_allclose(np.abs(seen).max(axis=0), disk, rtol=0.1, atol=1e-3)
    data.dof.focus_distance = 5.0
    blurred = shot(read_png, tmp_path / "blurred", samples=32)
    assert np.square(np.diff(blurred, axis=1)).mean() < 0.7 * np.square(np.diff(sharp, axis=1)).mean()
    data.type = "ORTHO"
    with pytest.raises(RuntimeError, match="orthographic"):
        bpy.ops.gaussian_heads.render_splats(filepath=str(tmp_path / "none"))
