"""Rotations of a head's bones: pitch, yaw and roll about the head's own axes.

Bones of a head point up and their own axes are the head's: x to the subject's left, y up, z to the viewer. So in the
Euler order XYZ a bone's channels are pitch (positive: down), yaw (to the subject's left) and roll (to its right).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from ..errors import AddonError
from ..rig.heads import Head
from .curves import curve_values, ensure_curve, replace_keys
from .punch import replace_between

JOINTS = ("neck", "head", "jaw", "eyeLeft", "eyeRight")
_COMPONENTS = {"rotation_euler": 3, "rotation_quaternion": 4, "rotation_axis_angle": 4}


def require_bone(head: Head, joint: str) -> bpy.types.PoseBone:
    """The bone of a joint.

    Raises:
        AddonError: it was deleted or renamed.
    """
    bone = head.armature.pose.bones.get(joint)
    if bone is None:
        raise AddonError(f"“{head.name}” has no bone “{joint}”.", "Undo its removal, or give the bone its name back.")
    return bone


def rotation_channel(bone: bpy.types.PoseBone) -> str:
    """The property that turns the bone in its rotation mode."""
    return {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(
        bone.rotation_mode, "rotation_euler"
    )


def rotation_path(bone: bpy.types.PoseBone) -> str:
    """The animation path of :func:`rotation_channel`, from the armature object."""
    return f'pose.bones["{bpy.utils.escape_identifier(bone.name)}"].{rotation_channel(bone)}'


def rotation(bone: bpy.types.PoseBone) -> tuple[float, float, float]:
    """Pitch, yaw, roll in radians."""
    return tuple(bone.matrix_basis.to_quaternion().to_euler("XYZ"))


def turn(angles: Sequence[float]) -> Quaternion:
    """The rotation of pitch, yaw, roll in radians."""
    return Euler(angles, "XYZ").to_quaternion()


def channel_values(bone: bpy.types.PoseBone, turns: Iterable[Quaternion], near: np.ndarray | None = None) -> np.ndarray:
    """[T, 3 or 4] values of the bone's own rotation channels, without jumps from one turn to the next.

    Args:
        near: [T, 3 or 4] values of the same channels; of the ways to write a turn, the one nearest to these is taken.
    """
    rows: list[Sequence[float]] = []
    channel = rotation_channel(bone)
    last_euler, last_turn = bone.rotation_euler, bone.rotation_quaternion
    for row, quaternion in enumerate(turns):
        if near is not None and channel == "rotation_euler":
            last_euler = Euler(near[row], bone.rotation_mode)
        elif near is not None:
            last_turn = Quaternion(near[row])
        if channel == "rotation_euler":
            last_euler = quaternion.to_euler(bone.rotation_mode, last_euler)
            rows.append(tuple(last_euler))
        elif channel == "rotation_quaternion":
            quaternion = quaternion.copy()
            quaternion.make_compatible(last_turn)
            last_turn = quaternion
            rows.append(tuple(quaternion))
        else:
            axis, angle = quaternion.to_axis_angle()
            rows.append((angle, *axis))
    return np.array(rows, np.float64).reshape(-1, _COMPONENTS[channel])


def channel_turns(bone: bpy.types.PoseBone, rows: np.ndarray) -> list[Quaternion]:
    """The rotations of [T, 3 or 4] values of the bone's own rotation channels."""
    channel = rotation_channel(bone)
    if channel == "rotation_euler":
        return [Euler(row, bone.rotation_mode).to_quaternion() for row in rows.tolist()]
    if channel == "rotation_quaternion":
        return [Quaternion(row).normalized() for row in rows.tolist()]
    return [Quaternion(row[1:], row[0]) for row in rows.tolist()]


def bone_values(holder, bone: bpy.types.PoseBone, frames: np.ndarray) -> np.ndarray:
    """[T, 3 or 4] what the F-curves of a holder say of the bone's rotation channels; as it stands where they do not."""
    present = tuple(getattr(bone, rotation_channel(bone)))
    curves = rotation_curves(holder, bone)
    columns = [curve_values(curve, frames, rest) for curve, rest in zip(curves, present, strict=True)]
    return np.column_stack(columns)


def rotation_curves(holder, bone: bpy.types.PoseBone) -> list[bpy.types.FCurve | None]:
    """A holder's F-curves of the bone's rotation channels; None for those that it has not."""
    path, count = rotation_path(bone), _COMPONENTS[rotation_channel(bone)]
    return [holder.fcurves.find(path, index=index) for index in range(count)]


def blended_turns(
    bone: bpy.types.PoseBone, before: np.ndarray, turns: Sequence[Quaternion], share: np.ndarray
) -> np.ndarray:
    """[T, 3 or 4] values of the bone's rotation channels that go over from some to others.

    Args:
        before: [T, 3 or 4] what shows where ``share`` [T] is 0. turns: T rotations that show where it is 1.
    """
    partly = np.flatnonzero(share < 1.0)
    mixed = list(turns)
    for row, there in zip(partly.tolist(), channel_turns(bone, before[partly]), strict=True):
        mixed[row] = there.slerp(turns[row], share[row])
    return np.where(share[:, None] > 0.0, channel_values(bone, mixed, before), before)


def set_turn(bone: bpy.types.PoseBone, quaternion: Quaternion) -> None:
    """Turn a bone, in whatever rotation mode it has."""
    setattr(bone, rotation_channel(bone), channel_values(bone, (quaternion,))[0].tolist())


def set_rotation(head: Head, joint: str, angles: Sequence[float]) -> None:
    """Set a joint to pitch, yaw, roll in radians.

    Raises:
        AddonError: the bone is missing.
    """
    set_turn(require_bone(head, joint), turn(angles))


def reset(head: Head, joints: Iterable[str] = JOINTS) -> None:
    """Put joints back to rest.

    Raises:
        AddonError: a bone is missing.
    """
    for joint in joints:
        set_turn(require_bone(head, joint), Quaternion())


def key_rotations(head: Head, frame: float, joints: Iterable[str] = JOINTS) -> int:
    """Insert keyframes of the joints' present rotations; returns how many joints.

    Raises:
        AddonError: a bone is missing.
    """
    bones = [require_bone(head, joint) for joint in joints]
    for bone in bones:
        bone.keyframe_insert(rotation_channel(bone), frame=frame, group=bone.name)
    return len(bones)


def write_turns(holder, bone: bpy.types.PoseBone, frames: np.ndarray, turns: Sequence[Quaternion]) -> None:
    """Replace a bone's keys between the first and the last frame by these turns.

    Args:
        holder: the armature's channels of :func:`.curves.channels`.
        frames: [T] rising.
        turns: T rotations.
    """
    values = channel_values(bone, turns)
    for index, column in enumerate(values.T):
        replace_keys(ensure_curve(holder, rotation_path(bone), index, bone.name), frames, column)


def punch_turns(
    holder, bone: bpy.types.PoseBone, frames: np.ndarray, turns: Sequence[Quaternion], share: np.ndarray
) -> None:
    """The same over what is there: ``share`` [T] of the turns shows, and nothing else of the animation changes."""
    values = blended_turns(bone, bone_values(holder, bone, frames), turns, share)
    for index, column in enumerate(values.T):
        replace_between(ensure_curve(holder, rotation_path(bone), index, bone.name), frames, column)
