"""An avatar becomes plain Blender data: all that animates the head is there without the engine or the add-on."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any, TypeVar

import bpy
import numpy as np

from ..arkit import ARKIT_NAMES
from ..compat import HAS_NATIVE_SPLATS, RADIANCE, RADIANCE_TYPE, mark_splats, new_pointcloud
from .avatar_file import AvatarFile
from .axes import to_blender
from .heads import MARK, VERSION, Head, name_parts, select, show_parts
from .motion import HEAD_VERTICES, CoefficientVertices, Motion, coefficient_vertices, write_basis
from .nodes import bind, binding_steps
from .points import SH_C0, write_attribute

T = TypeVar("T")
METADATA = "gaussian_head_metadata"  # JSON: what the avatar file says beside its arrays
ROOT_BONE = "torso"  # follows nothing: column 0 of the skin weights
BONE_LENGTH = 0.03  # m
COMPONENT_RANGE = 3.0  # a head model's own components are standard deviations, both ways
PIECE = 16  # shape keys made between two rests


def build(avatar: AvatarFile, context: bpy.types.Context) -> Head:
    """Make the head's objects at once, in the context's scene; they get a collection of the head's name.

    Objects: an empty ``NAME`` with, below it, ``NAME.rig`` (armature), ``NAME.head`` (mesh with one shape key per
    expression, not drawn) and ``NAME.splats`` (point cloud with the attributes of Blender's native splats). What an
    eigenbasis adds to them stands in :mod:`.motion`.
    """
    return finished(build_steps(avatar, context))


def finished(steps: Generator[Any, None, T]) -> T:
    """Do all pieces of something at once; returns what comes of it."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def build_steps(avatar: AvatarFile, context: bpy.types.Context) -> Generator[None, None, Head]:
    """The same in pieces of less than 100 ms, for a timer: yields between them and returns the head.

    Nothing is in the scene before the last piece. An undo or another file between two pieces makes the next one raise
    ``ReferenceError``: start again then.
    """
    workshop = bpy.data.scenes.new(".gaussian_heads_workshop")  # so that nothing happens in the artist's scene
    try:
        cloud = yield from _cloud(avatar, workshop)
        armature = _armature(avatar, workshop)
    finally:
        bpy.data.scenes.remove(workshop)
    yield
    motion = coefficient_vertices(avatar, ROOT_BONE)
    mesh = yield from _mesh(avatar, motion)
    tree = yield from binding_steps(motion.motion is not None)
    yield
    return _assemble(avatar, mesh, armature, cloud, tree, motion.motion, context)


def _cloud(avatar: AvatarFile, workshop: bpy.types.Scene) -> Generator[None, None, bpy.types.PointCloud]:
    cloud = new_pointcloud(f"{avatar.name}.splats", len(avatar.triangles), workshop)
    mark_splats(cloud)
    write_attribute(cloud, "gs_triangle", "INT", avatar.triangles)
    write_attribute(cloud, "gs_barycentrics", "FLOAT_VECTOR", avatar.barycentrics)
    write_attribute(cloud, "gs_offset", "FLOAT_VECTOR", avatar.offsets)
    yield
    write_attribute(cloud, "gs_quat", "QUATERNION", avatar.quats)
    write_attribute(cloud, "gs_scale", "FLOAT_VECTOR", avatar.scales)
    write_attribute(cloud, "gs_part", "INT", avatar.parts)
    write_attribute(cloud, "radius", "FLOAT", np.zeros(len(avatar.parts)))  # where points are drawn as balls, none show
    radiance = np.column_stack(((avatar.colors - 0.5) / SH_C0, avatar.opacities))
    write_attribute(cloud, RADIANCE, RADIANCE_TYPE, radiance)
    # What shows where the modifier does not run: the anchors at rest.
    corners = to_blender(avatar.vertices)[avatar.faces[avatar.triangles]]  # [N, 3, 3]
    write_attribute(cloud, "position", "FLOAT_VECTOR", np.einsum("nk,nkd->nd", avatar.barycentrics, corners))
    yield
    yield from write_basis(cloud, avatar)
    return cloud


def _armature(avatar: AvatarFile, workshop: bpy.types.Scene) -> bpy.types.Object:
    """Bones point up, so that each one's own axes are the engine's: x to the subject's left, y up, z to the viewer."""
    data = bpy.data.armatures.new(f"{avatar.name}.rig")
    data.display_type = "STICK"
    rig = bpy.data.objects.new(data.name, data)
    workshop.collection.objects.link(rig)
    layer = workshop.view_layers[0]
    layer.objects.active = rig
    # The override keeps an edit mode that the artist is in.
    with bpy.context.temp_override(
        scene=workshop, view_layer=layer, active_object=rig, object=rig, selected_objects=[rig], mode="OBJECT"
    ):
        bpy.ops.object.mode_set(mode="EDIT")
        places = to_blender(avatar.joint_positions)
        low = to_blender(avatar.vertices)[:, 2].min()
        _bone(data, ROOT_BONE, (0.0, 0.0, float(low)), None)
        for name, parent, place in zip(avatar.metadata["joint_names"], avatar.joint_parents, places, strict=True):
            _bone(data, name, place, ROOT_BONE if parent < 0 else avatar.metadata["joint_names"][parent])
        bpy.ops.object.mode_set(mode="OBJECT")
    for bone in rig.pose.bones:
        bone.rotation_mode = "XYZ"
        bone.lock_location = bone.lock_scale = (True, True, True)
    rig.pose.bones[ROOT_BONE].lock_rotation = (True, True, True)
    workshop.collection.objects.unlink(rig)
    return rig


def _bone(data: bpy.types.Armature, name: str, place: tuple[float, float, float], parent: str | None) -> None:
    bone = data.edit_bones.new(name)
    bone.head = place
    bone.tail = (place[0], place[1], place[2] + BONE_LENGTH)
    if parent is not None:
        bone.parent = data.edit_bones[parent]


def new_mesh(name: str, vertices: np.ndarray, avatar: AvatarFile) -> bpy.types.Mesh:
    """A smooth mesh of an avatar's triangles and UV map; ``vertices`` [V, 3], Blender's axes, may be more than its."""
    faces = avatar.faces
    data = bpy.data.meshes.new(name)
    data.vertices.add(len(vertices))
    data.vertices.foreach_set("co", vertices.reshape(-1))
    data.loops.add(faces.size)
    data.loops.foreach_set("vertex_index", faces.reshape(-1))
    data.polygons.add(len(faces))
    data.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32))
    data.uv_layers.new(name="UVMap").data.foreach_set("uv", avatar.uv[avatar.uv_faces].reshape(-1))
    data.update(calc_edges=True)
    data.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    return data


def _mesh(avatar: AvatarFile, motion: CoefficientVertices) -> Generator[None, None, bpy.types.Object]:
    vertices, faces = np.concatenate((to_blender(avatar.vertices), motion.places)), avatar.faces
    data = new_mesh(f"{avatar.name}.head", vertices, avatar)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    write_attribute(data, "gs_rest_area", "FLOAT", np.linalg.norm(normals, axis=1) / 2, "FACE")
    write_attribute(data, "gs_uv_index", "INT", avatar.uv_faces, "CORNER")
    for name, region in zip(avatar.metadata["region_names"], avatar.regions, strict=True):
        write_attribute(data, f"region_{name}", "BOOLEAN", np.pad(region, (0, len(motion.places))))
    if motion.motion is not None:
        data[HEAD_VERTICES] = motion.motion.first
    mesh = bpy.data.objects.new(data.name, data)
    yield
    yield from _shape_keys(avatar, motion, mesh, vertices)
    for column, name in enumerate((ROOT_BONE, *avatar.metadata["joint_names"])):
        group = mesh.vertex_groups.new(name=name)
        weights = avatar.skin_weights[:, column]
        for vertex in np.flatnonzero(weights).tolist():
            group.add((vertex,), float(weights[vertex]), "REPLACE")
    for name, rows in motion.bones:
        mesh.vertex_groups[name].add(rows, 1.0, "REPLACE")
    yield
    return mesh


def _shape_keys(
    avatar: AvatarFile, motion: CoefficientVertices, mesh: bpy.types.Object, vertices: np.ndarray
) -> Generator[None, None, None]:
    mesh.shape_key_add(name="Basis", from_mix=False)
    for position, name in enumerate(avatar.metadata["key_names"]):
        key = mesh.shape_key_add(name=name, from_mix=False)
        if name not in ARKIT_NAMES:
            key.slider_min, key.slider_max = -COMPONENT_RANGE, COMPONENT_RANGE
        rows = slice(*avatar.key_starts[position : position + 2])
        moved = vertices.copy()
        moved[avatar.key_vertices[rows]] += to_blender(avatar.key_deltas[rows])
        if motion.motion is not None:
            moved[motion.motion.keys, 0] += motion.moves[position]
        key.data.foreach_set("co", moved.reshape(-1))
        key.value = 0.0
        if position % PIECE == PIECE - 1:
            yield
    mesh.data.shape_keys.name = mesh.data.name


def _assemble(
    avatar: AvatarFile,
    mesh: bpy.types.Object,
    rig: bpy.types.Object,
    cloud: bpy.types.PointCloud,
    tree: bpy.types.GeometryNodeTree,
    motion: Motion | None,
    context: bpy.types.Context,
) -> Head:
    """Put the parts together and into the scene. Names follow the root's, which Blender makes unique."""
    root = bpy.data.objects.new(avatar.name, None)
    root[MARK] = VERSION
    views = {field: avatar.arrays[field].tolist() for field in avatar.arrays if field.startswith("view_")}
    root[METADATA] = json.dumps(avatar.metadata | {"views": views})
    root.empty_display_type, root.empty_display_size = "PLAIN_AXES", 0.1
    splats = bpy.data.objects.new(cloud.name, cloud)
    head = Head(root, mesh, rig, splats)
    name_parts(head)
    for part in (mesh, rig, splats):
        part.parent = root

    deform = mesh.modifiers.new("Armature", "ARMATURE")
    deform.object = rig
    bind(splats, mesh, tree, motion)
    rig.show_in_front = True
    mesh.hide_render = True
    if not HAS_NATIVE_SPLATS:
        splats.hide_render = True

    collection = bpy.data.collections.new(root.name)
    context.scene.collection.children.link(collection)
    for part in (root, rig, mesh, splats):
        collection.objects.link(part)
    show_parts(head, context.view_layer)
    if context.mode == "OBJECT":  # otherwise the artist is at work on something else
        select(head, context.view_layer)
    return head
