"""The way back: a head in Blender as an avatar file, and its present pose in the engine's terms."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

import bpy
import numpy as np
from mathutils import Matrix

from ..errors import AddonError
from .avatar_file import TABLE, AvatarFile, write_avatar
from .axes import ENGINE_TO_BLENDER, to_engine
from .blending import own_radiance
from .build import METADATA, ROOT_BONE
from .heads import Head
from .motion import find_motion, read_motion
from .points import SH_C0, read_attribute

P = ParamSpec("P")
T = TypeVar("T")
STILL = 1e-6  # weights and radians below this are rest


@dataclass(frozen=True)
class Pose:
    """A head's evaluated state.

    Attributes:
        expression: weight per shape key; resting keys are left out.
        joint_rotations: axis-angle [3] in radians per joint, in the engine's axes; resting joints are left out.
        world: [4, 4] float64, from the avatar's rest space (engine axes, metres) to Blender's world.
    """

    expression: dict[str, float]
    joint_rotations: dict[str, tuple[float, float, float]]
    world: np.ndarray


def _told(read: Callable[Concatenate[Head, P], T]) -> Callable[Concatenate[Head, P], T]:
    """Turns what a changed rig makes of the reading of a head into one error."""

    @functools.wraps(read)
    def reading(head: Head, *arguments: P.args, **more: P.kwargs) -> T:
        if "EDIT" in (head.mesh.mode, head.armature.mode):  # Blender shows scripts what was there before
            raise AddonError(f"{head.name} is being edited.", "Leave Edit Mode with Tab first.")
        try:
            return read(head, *arguments, **more)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise AddonError(
                f"{head.name} is no longer built as a head ({error}).",
                "Undo what changed its bones, vertex groups, attributes or faces, or import the head again.",
            ) from error

    return reading


@_told
def pose_state(head: Head, depsgraph: bpy.types.Depsgraph) -> Pose:
    """Shape keys and bones as they are evaluated: drivers, constraints and animation included.

    Bones can only turn the engine's joints; what a moved or scaled bone does is not part of it.
    """
    keys = head.mesh.data.shape_keys.evaluated_get(depsgraph).key_blocks
    expression = {key.name: key.value for key in list(keys)[1:] if not key.mute and abs(key.value) > STILL}
    rig = head.armature.evaluated_get(depsgraph)
    axes = Matrix(ENGINE_TO_BLENDER.tolist())
    joint_rotations = {}
    for bone in rig.pose.bones:
        if bone.name == ROOT_BONE or bone.parent is None:
            continue
        own, parent = (b.matrix @ b.bone.matrix_local.inverted_safe() for b in (bone, bone.parent))
        turn = axes.transposed() @ (parent.inverted_safe() @ own).to_3x3().normalized() @ axes
        axis, angle = turn.to_quaternion().to_axis_angle()
        if abs(angle) > STILL:
            joint_rotations[bone.name] = tuple(axis * angle)
    base = rig.pose.bones[ROOT_BONE]
    to_world = rig.matrix_world @ base.matrix @ base.bone.matrix_local.inverted_safe()
    return Pose(expression, joint_rotations, np.array(to_world @ axes.to_4x4()))


@_told
def content_key(head: Head) -> str:
    """A key that changes when the neutral head, a shape key's form or the Gaussians changed, but not with the pose.

    Of an eigenbasis it takes the gains, which lie in the shape keys; nobody edits its tens of megabytes.
    """
    digest = hashlib.blake2b(digest_size=16)
    for key in head.mesh.data.shape_keys.key_blocks:
        digest.update(key.name.encode())
        digest.update(_coordinates(key.data).data)
    for name in ("gs_offset", "gs_quat", "gs_scale"):
        digest.update(read_attribute(head.splats.data, name).data)
    digest.update(own_radiance(head.splats.data).data)
    return digest.hexdigest()


@_told
def extract(head: Head) -> bytes:
    """The head as an avatar file, with whatever the artist changed in it.

    Raises:
        AddonError: a part of the rig was deleted, renamed or given another topology.
    """
    mesh, cloud = head.mesh.data, head.splats.data
    metadata = json.loads(head.root[METADATA])
    views = metadata.pop("views")
    key_names = list(head.keys)
    neutral = _coordinates(mesh.shape_keys.reference_key.data)
    deltas = np.array([_coordinates(key.data) for key in head.keys.values()]).reshape(-1, *neutral.shape) - neutral
    motion = find_motion(mesh, len(metadata["joint_names"]))
    eigenbasis = {}
    if motion is not None:
        eigenbasis = read_motion(motion, neutral, deltas, cloud)
        neutral, deltas = neutral[: motion.first], deltas[:, : motion.first]
    moving = deltas.any(axis=2)  # [E, V]
    faces = np.empty(3 * len(mesh.polygons), np.int32)
    mesh.loops.foreach_get("vertex_index", faces)
    uv_faces = read_attribute(mesh, "gs_uv_index")
    corner_uv = np.empty(2 * len(faces), np.float32)
    mesh.uv_layers[0].data.foreach_get("uv", corner_uv)
    uv = np.zeros((uv_faces.max() + 1, 2), np.float32)
    uv[uv_faces] = corner_uv.reshape(-1, 2)
    bones = [head.armature.data.bones[name] for name in metadata["joint_names"]]
    radiance = own_radiance(cloud)
    arrays = {
        "version": np.array(TABLE["version"]),
        "vertices": to_engine(neutral),
        "faces": faces.reshape(-1, 3),
        "uv": uv,
        "uv_faces": uv_faces.reshape(-1, 3),
        "regions": np.array(
            [read_attribute(mesh, f"region_{name}")[: len(neutral)] for name in metadata["region_names"]]
        ).reshape(-1, len(neutral)),
        "key_starts": np.concatenate(([0], np.cumsum(moving.sum(axis=1)))),
        "key_vertices": np.nonzero(moving)[1],
        "key_deltas": to_engine(deltas[moving]),
        "joint_parents": [
            metadata["joint_names"].index(bone.parent.name) if bone.parent.name != ROOT_BONE else -1 for bone in bones
        ],
        "joint_positions": to_engine(np.array([bone.head_local for bone in bones])),
        "skin_weights": _skin_weights(head, metadata["joint_names"])[: len(neutral)],
        "triangles": read_attribute(cloud, "gs_triangle"),
        "barycentrics": read_attribute(cloud, "gs_barycentrics"),
        "offsets": read_attribute(cloud, "gs_offset"),
        "quats": read_attribute(cloud, "gs_quat"),
        "scales": read_attribute(cloud, "gs_scale"),
        "opacities": radiance[:, 3],
        "colors": radiance[:, :3] * SH_C0 + 0.5,
        "parts": read_attribute(cloud, "gs_part"),
    }
    sizes = {"view_viewmats": (4, 4), "view_Ks": (3, 3), "view_sizes": (2,), "view_joint_rotations": (len(bones), 3)}
    arrays |= eigenbasis
    arrays |= {field: np.array(views[field]).reshape(-1, *shape) for field, shape in sizes.items()}
    arrays["view_expressions"] = _rearranged(views["view_expressions"], metadata["key_names"], key_names)
    return write_avatar(AvatarFile(arrays, metadata | {"name": head.name, "key_names": key_names}))


def _coordinates(points) -> np.ndarray:
    """[V, 3] float32 of a shape key's points, Blender's axes."""
    values = np.empty(3 * len(points), np.float32)
    points.foreach_get("co", values)
    return values.reshape(-1, 3)


def _skin_weights(head: Head, joint_names: list[str]) -> np.ndarray:
    """[V, J + 1] float32, rows sum to 1 as Blender's armature deformation takes them."""
    columns = {head.mesh.vertex_groups[name].index: k for k, name in enumerate((ROOT_BONE, *joint_names))}
    weights = np.zeros((len(head.mesh.data.vertices), len(columns)), np.float32)
    for row, vertex in zip(weights, head.mesh.data.vertices, strict=True):
        for group in vertex.groups:
            if group.group in columns:
                row[columns[group.group]] = group.weight
    totals = weights.sum(axis=1, keepdims=True)
    weights[totals[:, 0] == 0, 0] = 1.0
    return weights / np.where(totals > 0, totals, 1.0)


def _rearranged(rows: list[list[float]], before: list[str], after: list[str]) -> np.ndarray:
    """The photos' expressions in the order of keys that may have been added, removed or moved."""
    position = {name: k for k, name in enumerate(before)}
    return np.array([[row[position[name]] if name in position else 0.0 for name in after] for row in rows]).reshape(
        -1, len(after)
    )
