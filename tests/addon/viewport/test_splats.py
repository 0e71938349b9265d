"""What the GPU draws of heads is what the engine and a plain float64 loop draw of them."""

import bpy
import gpu
import numpy as np
import pytest
from mathutils import Matrix, Vector

from .scene import SIZE, pose

SH_C0 = 0.28209479177387814


@pytest.fixture
def picture(part):
    """Draws all heads of the scene through its camera: (premultiplied [H, W, 4], metres [H, W], the target)."""
    splats_module, camera_module = part("viewport.splats"), part("viewport.camera")
    store = splats_module.Splats()

    def draw(target=None, objects=None):
        depsgraph = bpy.context.evaluated_depsgraph_get()
        objects = objects or [obj for obj in bpy.context.scene.objects if obj.type == "POINTCLOUD"]
        view = camera_module.scene_view(bpy.context.scene, depsgraph, *SIZE)
        target = target or splats_module.Target(view.size, precise=True)
        places = [part("viewport.placed").place_of(obj, depsgraph) for obj in objects]
        store.update(places)
        target.draw(store, places, view.view, view.window)
        return *target.read(), target

    draw.store = store
    return draw


def matrices_of(quats):
    w, x, y, z = quats.T
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]
    rows += [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]
    rows += [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]
    return np.stack(rows, -1).reshape(-1, 3, 3)


def test_a_posed_head_looks_as_in_the_engine(part, make_head, camera, picture, engine_picture):
    head = make_head()
    pose(head)
    head.root.matrix_world = (
        Matrix.Translation((0.05, 0.1, -0.02)) @ Matrix.Rotation(0.4, 4, "Z") @ Matrix.Scale(1.3, 4)
    )
    color, metres, _ = picture()

    view = part("viewport.camera").scene_view(bpy.context.scene, bpy.context.evaluated_depsgraph_get(), *SIZE)
    state = part("rig.extract").pose_state(head, bpy.context.evaluated_depsgraph_get())
    truth = engine_picture(part("viewport.camera").engine_camera(view, state.world), state, SIZE)
    assert (truth[..., 3] > 0.99).mean() > 0.2
    error = np.abs(color - truth) * 255
    assert error.mean() < 0.2
    assert np.percentile(error, 99.9) < 8


def test_colors_and_opacities_that_keys_and_bones_change_look_as_in_the_engine(
    part, camera, picture, engine_picture, moving_path, still_path
):
    """A head with an eigenbasis beside one without, whose looks are never read again."""
    head, still = (
        part("rig.build").build(part("rig.avatar_file").read_avatar(path), bpy.context)
        for path in (moving_path, still_path)
    )
    still.root.location.x = 5.0  # out of the picture
    rest = picture()[0]  # the textures hold the head at rest, before it moves
    pose(head)
    color = picture()[0]
    moved = picture.store.parts[0].moving_looks, picture.store.parts[1].moving_looks
    assert sorted(moved) == [False, True]

    depsgraph = bpy.context.evaluated_depsgraph_get()
    state = part("rig.extract").pose_state(head, depsgraph)
    view = part("viewport.camera").scene_view(bpy.context.scene, depsgraph, *SIZE)
    truth = engine_picture(part("viewport.camera").engine_camera(view, state.world), state, SIZE, moving_path)
    error = np.abs(color - truth) * 255
    assert error.mean() < 0.2
    assert np.percentile(error, 99.9) < 8

    for key in ("jawOpen", "mouthSmileLeft", "browInnerUp"):
        head.keys[key].value = 0.0
    for bone in ("neck", "head", "eyeLeft"):
        head.armature.pose.bones[bone].rotation_euler = (0.0, 0.0, 0.0)
    head.root.matrix_world = Matrix()
    assert np.abs(picture()[0] - rest).max() < 1e-3
    revision = picture.store.revision
    bpy.context.scene.frame_set(7)  # nothing is animated
    picture()
    assert picture.store.revision == revision


def cloud_of(part, gaussians, name):
    """A point cloud object with evaluated attributes as a head's, without a rig."""
    points = part("rig.points")
    scene = bpy.data.scenes.new("workshop")
    cloud = part("compat").new_pointcloud(name, len(gaussians["position"]), scene)
    bpy.data.scenes.remove(scene)
    for label, kind in (("position", "FLOAT_VECTOR"), ("rotation", "QUATERNION"), ("scale", "FLOAT_VECTOR")):
        points.write_attribute(cloud, label, kind, gaussians[label])
    radiance = np.column_stack(((gaussians["color"] - 0.5) / SH_C0, gaussians["opacity"]))
    points.write_attribute(cloud, "radiance:base", "FLOAT_COLOR", radiance)
    obj = bpy.data.objects.new(name, cloud)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def some_gaussians(seed, count=60):
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return {
        "position": rng.uniform(-0.15, 0.15, (count, 3)),
        "rotation": quats / np.linalg.norm(quats, axis=1, keepdims=True),
        "scale": np.exp(rng.normal(np.log(0.015), 0.7, (count, 3))),
        "opacity": rng.uniform(0.1, 1.0, count),
        "color": rng.uniform(-0.1, 1.1, (count, 3)),
    }


def slow_picture(clouds, view, window, ortho):
    """EWA splatting in float64, one Gaussian after the other: (premultiplied [H, W, 4], weighted metres [H, W])."""
    width, height = SIZE
    view, window = np.array(view, np.float64), np.array(window, np.float64)
    splats = []
    for gaussians, world in clouds:
        to_view = view @ np.array(world, np.float64)
        centres = gaussians["position"] @ to_view[:3, :3].T + to_view[:3, 3]
        axes = to_view[:3, :3] @ matrices_of(gaussians["rotation"]) * gaussians["scale"][:, None, :]
        splats += zip(centres, axes, gaussians["opacity"], gaussians["color"], strict=True)
    columns, rows = np.arange(width) + 0.5, height - np.arange(height) - 0.5
    color, depth = np.zeros((height, width, 4)), np.zeros((height, width))
    for centre, axes, opacity, rgb in sorted(splats, key=lambda splat: splat[0][2]):
        clip = window @ np.append(centre, 1.0)
        at = (clip[:2] / clip[3] * 0.5 + 0.5) * SIZE
        # The projection's derivative by differences: no formula shared with the shader.
        step, jacobian = 1e-6, np.zeros((2, 3))
        for k in range(3):
            moved = window @ np.append(centre + step * np.eye(3)[k], 1.0)
            jacobian[:, k] = ((moved[:2] / moved[3] * 0.5 + 0.5) * SIZE - at) / step
        half = jacobian @ axes
        inverse = np.linalg.inv(half @ half.T + 0.3 * np.eye(2))
        dx, dy = columns[None] - at[0], rows[:, None] - at[1]
        power = inverse[0, 0] * dx * dx + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy * dy
        alpha = np.minimum(opacity * np.exp(-0.5 * power), 0.999)
        alpha[alpha < 1 / 255] = 0.0
        color = np.dstack([alpha[..., None] * rgb, alpha]) + color * (1 - alpha[..., None])
        depth = -centre[2] * alpha + depth * (1 - alpha)
    return color, depth


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
def test_two_stretched_clouds_through_each_other_blend_in_one_order(part, camera, picture, kind):
    first, second = some_gaussians(1), some_gaussians(2)
    a, b = cloud_of(part, first, "a"), cloud_of(part, second, "b")
    a.matrix_world = Matrix.Translation((0.03, 0.1, 0)) @ Matrix.Rotation(0.7, 4, "X") @ Matrix.Diagonal((1, 2, 0.6, 1))
    b.matrix_world = Matrix.Translation((-0.02, 0.05, 0.04)) @ Matrix.Rotation(2.0, 4, "Z")
    camera.data.type, camera.data.ortho_scale = kind, 0.5
    color, metres, _ = picture()

    view = part("viewport.camera").scene_view(bpy.context.scene, bpy.context.evaluated_depsgraph_get(), *SIZE)
    clouds = [(first, a.matrix_world), (second, b.matrix_world)]
    truth, depth = slow_picture(clouds, view.view, view.window, kind == "ORTHO")
    assert truth[..., 3].mean() > 0.2
    assert np.abs(color - truth).mean() * 255 < 0.05
    thick = truth[..., 3] > 0.5
    assert np.abs(metres - depth / np.maximum(truth[..., 3], 1e-9))[thick].max() < 1e-3
    assert np.isinf(metres[color[..., 3] == 0]).all()

    backwards = picture(objects=[b, a])[0]
    assert np.abs(backwards - color).max() * 255 < 0.1


def test_the_order_survives_a_long_way_between_two_heads(part):
    depths = np.random.default_rng(0).permutation(np.linspace(1.0, 1.3, 1000)).astype(np.float32)
    both = np.concatenate([depths, depths + 5000.0]).astype(np.float32)
    order = part("viewport.splats").back_to_front(both, [slice(0, 1000), slice(1000, 2000)])
    assert sorted(order) == list(range(2000))
    assert (order[:1000] >= 1000).all()
    assert (np.diff(both[order[1000:]]) <= 0).all()


def test_nothing_is_drawn_read_or_sorted_again_until_something_moves(part, make_head, camera, picture):
    head = make_head()
    target = picture()[2]
    revision = picture.store.revision
    bpy.context.view_layer.update()
    picture(target)
    assert (target.drawn, picture.store.revision) == (1, revision)

    bpy.context.scene.frame_set(7)  # nothing is animated
    picture(target)
    assert (target.drawn, picture.store.revision) == (1, revision)

    camera.location.x += 0.01  # a new view needs no new data
    picture(target)
    assert (target.drawn, picture.store.revision) == (2, revision)

    head.root.location.z += 0.01
    picture(target)
    assert (target.drawn, picture.store.revision) == (3, revision)

    head.keys["jawOpen"].value = 1.0
    picture(target)
    assert (target.drawn, picture.store.revision) == (4, revision + 1)


def test_undo_brings_the_old_picture_back(part, make_head, camera, picture):
    head = make_head()
    name = head.name
    bpy.ops.ed.undo_push(message="head")
    before = picture()[0]
    head.keys["jawOpen"].value = 1.0
    bpy.ops.ed.undo_push(message="jaw")
    opened = picture()[0]
    bpy.ops.ed.undo()
    after = picture()[0]
    assert name in bpy.data.objects
    assert np.abs(opened - before).max() > 0.1
    assert np.abs(after - before).max() < 1e-3


def test_in_the_viewport_a_pixel_shows_the_gaussians_own_color_unless_a_mesh_is_before_it(part, camera, picture):
    """A viewport is an sRGB picture with a depth buffer, here with a surface before its left half."""
    count = 400
    gaussians = some_gaussians(3, count)
    gaussians["color"][:] = (0.2, 0.5, 0.9)
    gaussians["opacity"][:] = 1.0
    gaussians["scale"][:] = 0.05
    cloud_of(part, gaussians, "wall")
    target = picture(part("viewport.splats").Target(SIZE))[2]
    view = part("viewport.camera").scene_view(bpy.context.scene, bpy.context.evaluated_depsgraph_get(), *SIZE)
    shader = part("viewport.shader")
    depths = np.ones((SIZE[1], SIZE[0]), np.float32)
    near, far = (0.5 + 0.5 * (view.window @ Vector((0, 0, -m, 1)))[2] / m for m in (0.2, 5.0))
    depths[:, : SIZE[0] // 2], depths[:, SIZE[0] // 2 :] = near, far
    surface = gpu.types.GPUTexture(
        SIZE, format="DEPTH_COMPONENT32F", data=gpu.types.Buffer("FLOAT", depths.size, depths.reshape(-1))
    )
    shown = gpu.types.GPUTexture(SIZE, format="RGBA32F")
    viewport = gpu.types.GPUFrameBuffer(depth_slot=surface, color_slots=(shown,))

    def look(depth):
        with viewport.bind():
            viewport.clear(color=(0.0, 0.0, 0.0, 0.0))
            shader.blit(target.color, backdrop, depth, view.window)
            pixels = viewport.read_color(0, 0, *SIZE, 4, 0, "FLOAT")
        pixels.dimensions = SIZE[0] * SIZE[1] * 4
        return np.array(pixels).reshape(SIZE[1], SIZE[0], 4)

    backdrop = (0.3, 0.25, 0.2)
    everything, behind = look(None), look(target.depth)
    assert everything[:, : SIZE[0] // 2, 3].max() > 0.99
    # Blender lays it over the backdrop in linear light; what the artist sees is the Gaussians' own blending.
    blended = everything[..., :3] + ((np.array(backdrop) + 0.055) / 1.055) ** 2.4 * (1 - everything[..., 3:])
    seen = 1.055 * np.maximum(blended, 1e-6) ** (1 / 2.4) - 0.055
    color = target.read()[0][::-1]
    wanted = color[..., :3] + np.array(backdrop) * (1 - color[..., 3:])
    assert np.abs(seen - wanted).max() * 255 < 1.0
    assert (np.abs(wanted - (0.2, 0.5, 0.9)).max(axis=-1) < 0.01).any()
    assert (behind[:, : SIZE[0] // 2] == 0).all()
    assert np.array_equal(behind[:, SIZE[0] // 2 :], everything[:, SIZE[0] // 2 :])


def test_a_viewport_that_changes_to_another_scene_shows_its_head(part, make_head, camera, picture):
    first, second = make_head(), make_head()
    second.keys["jawOpen"].value = 1.0
    bpy.context.view_layer.update()
    module = part("viewport.splats")
    scenes = [(module.Splats(), head.splats) for head in (first, second)]
    view = part("viewport.camera").scene_view(bpy.context.scene, bpy.context.evaluated_depsgraph_get(), *SIZE)
    target, pictures = module.Target(view.size, precise=True), []
    for store, splats in scenes:
        places = [part("viewport.placed").place_of(splats, bpy.context.evaluated_depsgraph_get())]
        store.update(places)
        target.draw(store, places, view.view, view.window)
        pictures.append(target.read()[0])
    assert np.abs(pictures[0] - pictures[1]).max() > 0.1
