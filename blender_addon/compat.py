"""Every difference between the versions of Blender that the add-on runs in: nothing else of it knows of versions.

Blender is asked for what it has, not for its number, which says nothing of builds between two versions. What differs:

- Since 4.4, actions have slots, layers, strips and channel bags, and the last hold the F-curves. Before, actions did.
- Since 4.4, a sequence editor's list is called ``strips``. Before: ``sequences``.
- Since 4.4, a shader can say that it writes depths. Before, only OpenGL's could write any, and need not say so.
- Since 4.5, points have shaders of their own, without which Metal and Vulkan draw them in a size of their own.
- Since 4.5, a mesh's own normals are an attribute. Before, only a slow function could set them.
- Since 4.5 at the latest, there are no videos in AVI.
- Since 5.0, image settings have a ``media_type``, which decides on the file formats that they take.
- Since 5.2, a modifier's inputs are properties, and ``modifier["…"]`` is an error. Before, they are found there alone.
- Since 5.2, Python can give point clouds their points. Before, only Geometry Nodes could.
- Since 5.2, the GPU of a Blender without window can be started by name. Before, it starts with a render.
- Since 5.3, attributes can be four plain numbers. Before, only colours and quaternions have four.
- Since 5.3, point clouds have a type, and Blender draws and renders those of Gaussians. It looks for the attributes
  ``position``, ``rotation``, ``scale`` and ``radiance:base``, which every version writes, so that files may move on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import gpu
import numpy as np

HAS_NATIVE_SPLATS = "type" in bpy.types.PointCloud.bl_rna.properties
HAS_SLOTS = "slots" in bpy.types.Action.bl_rna.properties  # one action may animate data-blocks of several kinds
RADIANCE = "radiance:base"  # (color - 0.5) / SH_C0 and the opacity, see rig.points


def radiance_type(kinds: Iterable[str]) -> str:
    """The data type of :data:`RADIANCE`: Blender's own importer writes it as four plain numbers where there are such.

    Args:
        kinds: of attributes that this Blender, or one of its nodes, has.
    """
    return "FLOAT4" if "FLOAT4" in set(kinds) else "FLOAT_COLOR"


RADIANCE_TYPE = radiance_type(bpy.types.Attribute.bl_rna.properties["data_type"].enum_items.keys())
VIDEO_FORMATS = {"FFMPEG", "AVI_JPEG", "AVI_RAW"}


def assigned_channels(data: bpy.types.AnimData, create: bool = False) -> Any:
    """What holds the F-curves (``.fcurves``, ``.groups``) of animation data that have an action; None where none does.

    Args:
        create: make slot, layer and strip where they are missing.
    """
    action = data.action
    if not hasattr(action, "slots"):
        return action
    if data.action_slot is None:
        if not create:
            return None
        data.action_slot = action.slots.new(data.id_data.id_type, data.id_data.name)
    return _slot_channels(action, data.action_slot, create)


def new_channels(action: bpy.types.Action, id_type: str, name: str) -> Any:
    """The same of a new slot that no data-block has yet. Without slots, all that an action animates is together.

    Args:
        id_type: the kind of data-block that the slot is for. name: of the slot.
    """
    if not hasattr(action, "slots"):
        return action
    return _slot_channels(action, action.slots.new(id_type, name), create=True)


def assign_strip(strip: bpy.types.NlaStrip, data: bpy.types.AnimData) -> None:
    """Let a strip of the animation data's active action play what that plays for them."""
    if hasattr(strip, "action_slot"):
        strip.action_slot = data.action_slot


def strip_channels(strip: bpy.types.NlaStrip) -> Any:
    """What holds the F-curves that a strip plays; None where it plays none."""
    if not hasattr(strip, "action_slot"):
        return strip.action
    return _slot_channels(strip.action, strip.action_slot) if strip.action_slot is not None else None


def all_curves(action: bpy.types.Action) -> list[bpy.types.FCurve]:
    """The F-curves of an action for whatever data-block."""
    if not hasattr(action, "slots"):
        return list(action.fcurves)
    holders = (_slot_channels(action, slot) for slot in action.slots)
    return [curve for holder in holders if holder is not None for curve in holder.fcurves]


def _slot_channels(action: bpy.types.Action, slot: Any, create: bool = False) -> Any:
    """The channel bag of a slot."""
    if not action.layers or not action.layers[0].strips:
        if not create:
            return None
        layer = action.layers[0] if action.layers else action.layers.new("Layer")
        layer.strips.new(type="KEYFRAME")
    return action.layers[0].strips[0].channelbag(slot, ensure=create)


def sequencer_strips(editor: bpy.types.SequenceEditor) -> Any:
    """The strips of a sequence editor's top level."""
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def mark_splats(cloud: bpy.types.PointCloud) -> None:
    """Tell a Blender that draws splats that these are some."""
    if HAS_NATIVE_SPLATS:
        cloud.type = "GAUSSIAN_SPLAT"


def new_pointcloud(name: str, count: int, scene: bpy.types.Scene) -> bpy.types.PointCloud:
    """A point cloud with ``count`` points at the origin.

    Args:
        scene: a scene without other objects, for evaluating on; the point cloud is not left in it.
    """
    cloud = bpy.data.pointclouds.new(name)
    if hasattr(cloud, "resize"):
        cloud.resize(count)
        return cloud
    tree = bpy.data.node_groups.new(".gaussian_heads_points", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    points = tree.nodes.new("GeometryNodePoints")
    points.inputs["Count"].default_value = count
    tree.links.new(points.outputs[0], tree.nodes.new("NodeGroupOutput").inputs[0])
    carrier = bpy.data.objects.new(".gaussian_heads_points", cloud)
    scene.collection.objects.link(carrier)
    carrier.modifiers.new("Points", "NODES").node_group = tree
    layer = scene.view_layers[0]
    layer.update()
    filled = carrier.evaluated_get(layer.depsgraph).data.copy()  # the copy of an evaluated ID is an ordinary one
    bpy.data.objects.remove(carrier)
    bpy.data.node_groups.remove(tree)
    bpy.data.pointclouds.remove(cloud)
    filled.name = name
    return filled


def set_modifier_input(modifier: bpy.types.NodesModifier, identifier: str, value: bpy.types.ID | int) -> None:
    """Set what a Geometry Nodes modifier gives to its tree.

    Args:
        identifier: of the tree's input socket.
    """
    inputs = getattr(getattr(modifier, "properties", None), "inputs", None)
    if inputs is not None:
        getattr(inputs, identifier).value = value
    else:
        modifier[identifier] = value


def set_file_format(
    settings: bpy.types.ImageFormatSettings, file_format: str, color_mode: str, color_depth: str
) -> None:
    """Set the format of pictures."""
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = file_format
    settings.color_mode = color_mode
    settings.color_depth = color_depth


@contextmanager
def kept_file_format(settings: bpy.types.ImageFormatSettings) -> Iterator[None]:
    """Gives image settings back as they were, whatever format they are set to meanwhile."""
    names = ("media_type", "file_format", "color_mode", "color_depth", "color_management")  # each decides on the next
    before = {name: getattr(settings, name) for name in names if hasattr(settings, name)}
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


def set_normals(mesh: bpy.types.Mesh, normals: np.ndarray) -> None:
    """Give a mesh normals [V, 3] of its own, of length 1, in place of its faces'."""
    attribute = mesh.attributes.new("custom_normal", "FLOAT_VECTOR", "POINT")
    if mesh.has_custom_normals:
        attribute.data.foreach_set("vector", np.ascontiguousarray(normals, np.float32).reshape(-1))
    else:
        mesh.attributes.remove(attribute)
        mesh.normals_split_custom_set_from_vertices(normals.tolist())


def start_gpu() -> None:
    """Make the GPU usable in a Blender without window; does nothing in one that has windows.

    Raises:
        SystemError: there is no GPU driver.
    """
    if not bpy.app.background:
        return
    if hasattr(gpu, "init"):
        gpu.init()
        return
    try:
        gpu.platform.backend_type_get()
    except SystemError:
        _render_something()


def _render_something() -> None:
    scene = bpy.data.scenes.new(".gaussian_heads_gpu")
    try:
        scene.render.engine, scene.render.resolution_x, scene.render.resolution_y = "BLENDER_WORKBENCH", 8, 8
        scene.camera = bpy.data.objects.new(scene.name, bpy.data.cameras.new(scene.name))
        scene.collection.objects.link(scene.camera)
        bpy.ops.render.render(scene=scene.name)
    finally:
        data = scene.camera.data if scene.camera else None
        bpy.data.scenes.remove(scene)
        if data:
            bpy.data.cameras.remove(data)


def point_shader() -> gpu.types.GPUShader:
    """Blender's own shader for points of one colour."""
    try:
        return gpu.shader.from_builtin("POINT_UNIFORM_COLOR")
    except ValueError:  # what Blender says of a name that it does not know
        return gpu.shader.from_builtin("UNIFORM_COLOR")


def can_write_depth() -> bool:
    """Whether shaders of our own can write depths."""
    return hasattr(gpu.types.GPUShaderCreateInfo, "depth_write") or gpu.platform.backend_type_get() == "OPENGL"


def declare_depth(info: gpu.types.GPUShaderCreateInfo) -> None:
    """Say that a shader writes depths."""
    if hasattr(info, "depth_write"):
        info.depth_write("ANY")
