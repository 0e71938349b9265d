"""Cleaning a take up: fewer keys that say the same, stronger or weaker parts, limits, and the other side of the face.

Blender's own Decimate (``graph.decimate``) needs a Graph Editor, works on selected keys, fits Bézier curves to whole
curves rather than to a range, and measures its error along the curves, not at frames.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Quaternion

from ..errors import AddonError
from ..rig.heads import Head
from .curves import SAME_FRAME, curve_values, ensure_curve, is_driven, key_places, keys_between
from .groups import across
from .performance import in_parts
from .poses import blended_turns, bone_values, channel_turns, rotation_curves, rotation_path
from .punch import replace_between, shares
from .reduction import reduce
from .symmetry import accept, key_path
from .takes import require_no_tweaking, take_channels, take_names

BONES_OF = {"HEAD": ("neck", "head"), "EYES": ("eyeLeft", "eyeRight"), "FACE": ("jaw",), "JAW": ("jaw",)}
MAX_FRAMES = 500_000


@dataclass(frozen=True)
class Cleaning:
    """What is done to a take.

    Attributes:
        tolerance: how far a slider may then be off at any frame; 0 takes only keys away that say nothing new.
        angle: the same for how a bone is turned, in radians.
        gain: factor for sliders and for turns from rest. lowest, highest: what sliders are kept within.
        mirror: swap the sides of the face, and turn and tilt to the other side.
        blend: frames over which all that begins and ends where keys before and after stay as they are.
    """

    tolerance: float = 0.01
    angle: float = math.radians(0.5)
    gain: float = 1.0
    lowest: float = -math.inf
    highest: float = math.inf
    mirror: bool = False
    blend: float = 5.0

    @property
    def changes_values(self) -> bool:
        """Whether more is done than taking keys away."""
        return self.mirror or self.gain != 1.0 or self.lowest > -math.inf or self.highest < math.inf


@dataclass(frozen=True)
class CleanReport:
    """How many F-curves there were in the range, and keys in them, before and after."""

    curves: int
    before: int
    after: int


@dataclass(frozen=True)
class _Motion:
    """Curves that belong together: a slider's one, or those of a bone's rotation."""

    holder: Any
    paths: tuple[tuple[str, int], ...]
    group: str
    frames: np.ndarray  # [T]
    values: np.ndarray  # [T, C] what shall be there
    tolerance: float  # of each channel

    @property
    def curves(self) -> list[bpy.types.FCurve]:
        """Those that are there."""
        found = (self.holder.fcurves.find(path, index=index) for path, index in self.paths)
        return [curve for curve in found if curve is not None]


def clean_up_steps(
    head: Head,
    scene: bpy.types.Scene,
    span: tuple[float, float] | None,
    parts: Collection[str],
    cleaning: Cleaning,
    take: str = "",
) -> Generator[float, None, CleanReport]:
    """Clean the head's keys in a range up. What is changed gets linear keys; all else plays as before.

    Works in pieces of a few milliseconds and yields how far it is, 0 to 1. Nothing is changed before the last piece.

    Args:
        span: first and last frame; None for all that there is.
        parts: of :data:`.performance.PARTS`. The jaw's bone goes with the face and the jaw.
        take: the name of an action that the head's NLA plays; the active one if empty.

    Raises:
        AddonError: an empty or overlong range, no such take, no keys in it, tweak mode, or a linked action.
    """
    if span is not None and not 0 < span[1] - span[0] < MAX_FRAMES:
        raise AddonError(
            f"The range {span[0]:g} to {span[1]:g} cannot be cleaned up.", "Choose an end after the start."
        )
    shape_keys = head.mesh.data.shape_keys
    owners = (shape_keys, head.armature)
    require_no_tweaking(owners)
    holders = [take_channels(owner, take) for owner in owners]
    if take and holders == [None, None]:
        has = f"It has: {', '.join(take_names(head))}." if take_names(head) else "It has none on the NLA."
        raise AddonError(f"“{head.name}” has no take “{take}”.", has)
    for holder in holders:
        if holder is not None and not holder.id_data.is_editable:
            raise AddonError(f"The action “{holder.id_data.name}” is linked from another file.", "Make it local first.")
    face, bones = holders
    names = [name for name in head.keys if in_parts(name, parts) and not is_driven(shape_keys, key_path(name))]
    joints = [joint for part, of in BONES_OF.items() if part in parts for joint in of]
    planned = [(face, name) for name in names if face is not None]
    planned += [(bones, joint) for joint in dict.fromkeys(joints) if bones and joint in head.armature.pose.bones]
    motions = []
    for done, (holder, name) in enumerate(planned):
        look = _slider if holder is face and name in head.keys else _bone
        motion = look(head, holder, name, span, cleaning)
        if motion is not None:
            motions.append((motion, reduce(motion.frames, motion.values, motion.tolerance)))
        yield (done + 1) / len(planned)
    if not motions:
        raise AddonError(f"“{head.name}” has no keys there to clean up.", "Choose other parts, frames or another take.")
    curves = before = after = 0
    for motion, kept in motions:
        there = sum(keys_between(curve, motion.frames[0], motion.frames[-1]) for curve in motion.curves)
        if cleaning.changes_values or len(kept) * len(motion.paths) < there:
            for (path, index), column in zip(motion.paths, motion.values.T, strict=True):
                curve = ensure_curve(motion.holder, path, index, motion.group)
                replace_between(curve, motion.frames[kept], column[kept])
            after += len(kept) * len(motion.paths)
        else:
            after += there
        curves, before = curves + len(motion.curves), before + there
    scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)
    accept(shape_keys)
    return CleanReport(curves, before, after)


def _slider(head: Head, holder: Any, name: str, span: tuple[float, float] | None, cleaning: Cleaning) -> _Motion | None:
    key = head.keys[name]
    opposite = across(name) or name
    source = opposite if cleaning.mirror and opposite in head.keys else name
    own, other = (holder.fcurves.find(key_path(one)) for one in (name, source))
    frames, ends = _frames([own, other], span)
    if not len(frames):
        return None
    before = curve_values(own, frames, key.value)
    wanted = before if source == name else curve_values(other, frames, head.keys[source].value)
    wanted = np.clip(cleaning.gain * wanted, cleaning.lowest, cleaning.highest)
    values = before
    if cleaning.changes_values:
        share = shares(frames, cleaning.blend, *ends)
        values = before + share * (np.clip(wanted, key.slider_min, key.slider_max) - before)
    return _Motion(holder, ((key_path(name), 0),), "", frames, values[:, None], cleaning.tolerance)


def _bone(head: Head, holder: Any, joint: str, span: tuple[float, float] | None, cleaning: Cleaning) -> _Motion | None:
    source = across(joint) or joint if cleaning.mirror else joint
    bone, from_bone = (head.armature.pose.bones.get(one) for one in (joint, source))
    if from_bone is None:
        return None
    present = [rotation_curves(holder, one) for one in (bone, from_bone)]
    frames, ends = _frames([curve for curves in present for curve in curves], span)
    if not len(frames):
        return None
    before = bone_values(holder, bone, frames)
    values = before
    if cleaning.mirror or cleaning.gain != 1.0:
        share = shares(frames, cleaning.blend, *ends)
        turns = channel_turns(from_bone, bone_values(holder, from_bone, frames))
        wanted = [_stronger(_mirrored(turn) if cleaning.mirror else turn, cleaning.gain) for turn in turns]
        values = blended_turns(bone, before, wanted, share)
    paths = tuple((rotation_path(bone), index) for index in range(values.shape[1]))
    # A turn is off by no more than its channels together.
    return _Motion(holder, paths, joint, frames, values, cleaning.angle / values.shape[1])


def _frames(
    curves: list[bpy.types.FCurve | None], span: tuple[float, float] | None
) -> tuple[np.ndarray, tuple[bool, bool]]:
    """[T] where curves are looked at: whole frames and keys; and whether keys lie before and after."""
    keys = np.unique(np.concatenate([key_places(curve)[:, 0] for curve in curves if curve is not None] or [[]]))
    if not len(keys):
        return np.empty(0), (False, False)
    first, last = (max(span[0], keys[0]), min(span[1], keys[-1])) if span is not None else (keys[0], keys[-1])
    inside = keys[(keys >= first - SAME_FRAME) & (keys <= last + SAME_FRAME)]
    if last - first <= SAME_FRAME or not len(inside):
        return np.empty(0), (False, False)
    frames = np.unique(np.concatenate((np.arange(np.ceil(first), np.floor(last) + 1), inside, [first, last])))
    apart = np.diff(frames, prepend=-np.inf) > SAME_FRAME
    return frames[apart], (keys[0] < first - SAME_FRAME, keys[-1] > last + SAME_FRAME)


def _mirrored(turn: Quaternion) -> Quaternion:
    """The same turn seen in a mirror that stands between left and right."""
    return Quaternion((turn.w, turn.x, -turn.y, -turn.z))


def _stronger(turn: Quaternion, gain: float) -> Quaternion:
    axis, angle = turn.to_axis_angle()
    return Quaternion(axis, gain * (angle - 2 * math.pi if angle > math.pi else angle))
