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
from .curves import ensure_curve, replace_keys

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


def channel_values(bone: bpy.types.PoseBone, turns: Iterable[Quaternion]) -> np.ndarray:
    """[T, 3 or 4] values of the bone's own rotation channels, without jumps from one turn to the next."""
    rows: list[Sequence[float]] = []
    channel = rotation_channel(bone)
    last_euler, last_turn = bone.rotation_euler, bone.rotation_quaternion
    for quaternion in turns:
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
