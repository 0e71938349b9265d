"""Whatever moves a head becomes plain keyframes on its shape keys and bones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import bpy
import numpy as np

from ..errors import AddonError
from ..rig.heads import Head
from . import gaze
from .curves import channels, ensure_curve, find_curve, is_driven, replace_keys
from .performance import sample
from .poses import JOINTS, require_bone, write_turns
from .symmetry import accept, key_path
from .takes import require_no_tweaking

MAX_FRAMES = 200_000


@dataclass(frozen=True)
class BakeReport:
    """How many frames, shape keys and bones got keyframes."""

    frames: int
    keys: int
    bones: int


def bake(
    head: Head,
    scene: bpy.types.Scene,
    first: int,
    last: int,
    step: int = 1,
    joints: Collection[str] = JOINTS,
    remove_sources: bool = False,
) -> BakeReport:
    """Evaluate the head over a range of frames and key what is seen, in the place of the keys in that range.

    Shape keys that rest all the time and have no F-curve stay without one.

    Args:
        first, last: frames, both baked.
        step: frames from one key to the next.
        remove_sources: take away what the keys now stand for: drivers of shape keys and constraints of the bones,
            the gaze target too. Otherwise these are muted, as NLA tracks are in both cases.

    Raises:
        AddonError: an empty or overlong range, a missing bone, NLA's tweak mode, or a linked action.
    """
    if last < first or (last - first) // step >= MAX_FRAMES:
        raise AddonError(f"The range {first} to {last} cannot be baked.", f"Choose 1 to {MAX_FRAMES:,} frames.")
    shape_keys = head.mesh.data.shape_keys
    owners = (shape_keys, head.armature)
    require_no_tweaking(owners)
    frames = np.union1d(np.arange(first, last + 1, step), (last,)).astype(np.float64)
    samples = sample(head, scene, frames, joints)
    moving = {
        name: rows
        for name, rows in samples.weights.items()
        if rows.any() or find_curve(shape_keys, key_path(name)) is not None
    }
    _silence(head, moving, joints)
    if remove_sources:
        _remove(head, moving, joints)
    if moving:
        holder = channels(shape_keys, create=True)
        for name, rows in moving.items():
            replace_keys(ensure_curve(holder, key_path(name)), frames, rows)
    if joints:
        holder = channels(head.armature, create=True)
        for joint in joints:
            write_turns(holder, require_bone(head, joint), frames, samples.turns[joint])
    for owner in owners:
        if owner.animation_data is not None:  # the action alone says what was seen
            owner.animation_data.action_blend_type, owner.animation_data.action_influence = "REPLACE", 1.0
    scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)
    accept(shape_keys)
    return BakeReport(len(frames), len(moving), len(joints))


def _silence(head: Head, names: Collection[str], joints: Collection[str]) -> None:
    """Mute whatever else decides on these shape keys and joints: a constraint on top of its own result would add up."""
    shape_keys = head.mesh.data.shape_keys
    for name in names:
        if is_driven(shape_keys, key_path(name)):
            shape_keys.animation_data.drivers.find(key_path(name)).mute = True
    for joint in joints:
        for constraint in require_bone(head, joint).constraints:
            constraint.mute = True
    for owner in (shape_keys, head.armature):
        if owner.animation_data is not None:
            for track in owner.animation_data.nla_tracks:
                track.mute = True


def _remove(head: Head, names: Collection[str], joints: Collection[str]) -> None:
    for name in names:
        head.mesh.data.shape_keys.driver_remove(key_path(name))
    if set(gaze.EYES) <= set(joints):
        gaze.remove(head)
    for joint in joints:
        constraints = require_bone(head, joint).constraints
        for constraint in list(constraints):
            constraints.remove(constraint)
