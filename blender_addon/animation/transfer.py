"""Expressions and animation from one head to another, by the names of shape keys and bones."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
from mathutils import Quaternion

from ..errors import AddonError
from ..rig.heads import Head
from .curves import channels, find_curve, read_keys, write_keys
from .expressions import set_weights, weights
from .poses import JOINTS, rotation_path, set_turn
from .symmetry import accept, key_path

NEGLIGIBLE = 1e-4  # weights below this are not missed


@dataclass(frozen=True)
class Snapshot:
    """A head's pose of one moment.

    Attributes:
        source: name of the head.
        weights: slider per shape key.
        turns: rotation per joint, in the bone's rest axes; empty if only the face is meant.
    """

    source: str
    weights: dict[str, float]
    turns: dict[str, Quaternion]


def copy_pose(head: Head, with_bones: bool = True) -> Snapshot:
    """What the sliders say now, and the bones."""
    bones = head.armature.pose.bones
    turns = {joint: bones[joint].matrix_basis.to_quaternion() for joint in JOINTS if joint in bones}
    return Snapshot(head.name, weights(head), turns if with_bones else {})


def paste_pose(head: Head, snapshot: Snapshot, strength: float = 1.0) -> tuple[str, ...]:
    """Set another head to a snapshot. Keys and bones that the snapshot does not know stay.

    Args:
        strength: 0 keeps the present pose, 1 is the snapshot's.

    Returns:
        Names that matter in the snapshot and that this head has not.
    """
    bones = head.armature.pose.bones
    for joint, turn in snapshot.turns.items():
        if joint in bones:
            present = bones[joint].matrix_basis.to_quaternion()
            set_turn(bones[joint], present.slerp(turn, strength) if strength != 1.0 else turn)
    missing = set_weights(head, snapshot.weights, strength)
    lost = [name for name in missing if abs(snapshot.weights[name]) > NEGLIGIBLE]
    return (*lost, *(joint for joint in snapshot.turns if joint not in bones))


def copy_animation(source: Head, target: Head) -> tuple[int, tuple[str, ...]]:
    """Give a head the F-curves of another's shape keys and bones, in the place of its own for the same channels.

    Returns:
        How many F-curves were copied, and the names of animated keys and bones that the target has not.

    Raises:
        AddonError: the two are one head or share all of their animation, the source has no keyframes, or the target's
            action is linked from another file.
    """
    if source.root == target.root:
        raise AddonError(f"“{source.name}” cannot be copied to itself.", "Choose another head to copy from.")
    copied, shared, missing = 0, 0, []
    here, there = source.mesh.data.shape_keys, target.mesh.data.shape_keys
    for name in source.keys:
        curve = find_curve(here, key_path(name))
        if curve is None:
            continue
        if name not in target.keys:
            missing.append(name)
            continue
        if _copy_curve(curve, here, there, key_path(name), 0, ""):
            copied += 1
        else:
            shared += 1
    for joint in JOINTS:
        bones = [head.armature.pose.bones.get(joint) for head in (source, target)]
        if bones[0] is None:
            continue
        path = rotation_path(bones[0])
        curves = [(index, find_curve(source.armature, path, index)) for index in range(4)]
        curves = [(index, curve) for index, curve in curves if curve is not None]
        if curves and bones[1] is None:
            missing.append(joint)
            continue
        for index, curve in curves:
            bones[1].rotation_mode = bones[0].rotation_mode
            if _copy_curve(curve, source.armature, target.armature, path, index, joint):
                copied += 1
            else:
                shared += 1
    if shared and not copied and not missing:
        raise AddonError(
            f"“{source.name}” and “{target.name}” already share their animation.",
            "Make the action of one of them a single-user copy first if they shall differ.",
        )
    if not copied and not missing:
        raise AddonError(f"“{source.name}” has no keyframes.", "Key it, or bake what drives it, and try again.")
    accept(there)
    return copied, tuple(missing)


def _copy_curve(
    curve: bpy.types.FCurve, source: bpy.types.ID, target: bpy.types.ID, path: str, index: int, group: str
) -> bool:
    """Give the target the source's curve; False where both are animated by the same one."""
    if channels(source) == channels(target):
        return False
    keys, extrapolation = read_keys(curve), curve.extrapolation
    holder = channels(target, create=True)
    old = holder.fcurves.find(path, index=index)
    if old is not None:
        holder.fcurves.remove(old)
    new = holder.fcurves.new(path, index=index)
    if group:
        new.group = holder.groups.get(group) or holder.groups.new(group)
    write_keys(new, keys)
    new.extrapolation = extrapolation
    return True
