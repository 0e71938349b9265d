"""A capture becomes a head's keyframes, and a head's animation a capture."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import bpy
import numpy as np
from mathutils import Quaternion

from ..arkit import ARKIT_NAMES
from ..compat import sequencer_strips
from ..errors import AddonError
from ..rig.heads import Head
from .capture import Capture
from .curves import channels, ensure_curve, is_driven, replace_keys
from .groups import GROUPS, group_of
from .poses import punch_turns, require_bone, turn, write_turns
from .punch import blended, replace_between, shares
from .symmetry import accept, key_path
from .takes import Placement, placed

FACE_PARTS = tuple(group.upper() for group in GROUPS if group != "other")
PARTS = ("FACE", "HEAD", "EYES", *FACE_PARTS)
IN_PLACE = Placement()
HOLE_SECONDS = 0.3  # without a sample, from which on nothing is keyed: the face was covered or gone
SNAP = 1e-3  # frames: captures' times are rounded to about this


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        first, last: frames that got keys.
        keys: number of shape keys, bones: names of the bones that were animated.
        notes: sentences on what was left out, and why.
    """

    first: float
    last: float
    keys: int
    bones: tuple[str, ...]
    notes: tuple[str, ...]

    def with_note(self, note: str) -> ImportReport:
        """The same with one sentence more."""
        return replace(self, notes=(*self.notes, note))


def scene_rate(scene: bpy.types.Scene) -> float:
    """Frames per second."""
    return scene.render.fps / scene.render.fps_base


def first_frame(take: Capture, scene: bpy.types.Scene, start: float) -> float:
    """Where a take's first sample goes that was read off a clip beginning at ``start``: the actor may come late."""
    return start + take.begin * scene_rate(scene)


def import_capture(
    head: Head,
    capture: Capture,
    scene: bpy.types.Scene,
    start: float,
    strength: float = 1.0,
    parts: Collection[str] = ("FACE", "HEAD"),
    share: float = 0.0,
    flip_turn: bool = False,
    every_sample: bool = False,
    placement: Placement = IN_PLACE,
) -> ImportReport:
    """Write a capture as linear keys on shape keys and bones, in the place of the keys in its own range of frames.

    Args:
        start: frame of the capture's first sample. The scene's range grows to hold the capture.
        strength: factor for weights and angles.
        parts: of :data:`PARTS`: FACE for all shape keys, or parts of it; HEAD turns the head; EYES turns the eye bones,
            and leaves out the eyeLook keys: both would add up.
        share: how much of the head's turn the neck does, 0 to 1.
        flip_turn: mirror yaw and roll, for mirrored recordings.
        every_sample: one key per sample, between frames too; otherwise one per frame of the scene, interpolated.
        placement: whether it gets an action of its own, and which frames it may change.

    Raises:
        AddonError: nothing in the capture fits the wish, or the head lacks a bone or has a linked action.
    """
    places = start + capture.times * scene_rate(scene)
    near = np.round(places)
    places = np.where(np.abs(places - near) < SNAP, near, places)
    frames = places if every_sample else np.arange(np.ceil(places[0]), np.floor(places[-1]) + 1)
    frames = frames[~_unseen(frames, places, HOLE_SECONDS * scene_rate(scene))]
    if not len(frames):
        frames = near[:1]
    frames = placement.cut(frames)
    notes: list[str] = []
    angles = _wanted_angles(capture, parts, notes)
    weights = _wanted_weights(head, capture, parts, angles, notes)
    if not weights and not angles:
        raise AddonError(
            f"Nothing of the capture was used. {' '.join(notes)}".strip(), "Choose other parts, or another file."
        )

    shape_keys = head.mesh.data.shape_keys
    bones = {
        joint: turns
        for name, rows in angles.items()
        for joint, turns in joint_turns(name, _sampled(frames, places, rows, strength, flip_turn), share)
    }
    posed = {joint: require_bone(head, joint) for joint in bones}
    over = shares(frames, placement.blend) if placement.punches else None
    with placed([shape_keys] * bool(weights) + [head.armature] * bool(bones), placement):
        if weights:
            holder = channels(shape_keys, create=True)
        for name, values in weights.items():
            key = head.keys[name]
            sampled = np.clip(strength * np.interp(frames, places, values), key.slider_min, key.slider_max)
            curve = ensure_curve(holder, key_path(name))
            if over is None:
                replace_keys(curve, frames, sampled)
            else:
                replace_between(curve, frames, blended(curve, frames, sampled, over, key.value))
        if bones:
            holder = channels(head.armature, create=True)
        for joint, turns in bones.items():
            if over is None:
                write_turns(holder, posed[joint], frames, turns)
            else:
                punch_turns(holder, posed[joint], frames, turns, over)
    scene.frame_start = min(scene.frame_start, max(int(np.floor(frames[0])), 0))
    scene.frame_end = max(scene.frame_end, int(np.ceil(frames[-1])))
    scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)
    accept(shape_keys)
    return ImportReport(float(frames[0]), float(frames[-1]), len(weights), tuple(bones), tuple(notes))


def add_sound(scene: bpy.types.Scene, clip: Path, start: float) -> bool:
    """Put a clip's sound into the scene's sequencer, in step with the keys; whether it has any. Once for each clip."""
    editor = scene.sequence_editor_create()
    strips = sequencer_strips(editor)
    taken = {strip.channel for strip in strips}
    for strip in strips:
        if strip.type == "SOUND" and bpy.path.abspath(strip.sound.filepath) == str(clip):
            strip.frame_start = start
            return True
    channel = next(number for number in range(1, 129) if number not in taken or number == 128)
    try:
        strips.new_sound(clip.stem, str(clip), channel, round(start))
    except RuntimeError:  # what Blender says where there is none
        return False
    return True


def in_parts(key: str, parts: Collection[str]) -> bool:
    """Whether a shape key is meant by parts of :data:`PARTS`."""
    return "FACE" in parts or group_of(key).upper() in parts


def _unseen(frames: np.ndarray, places: np.ndarray, longest: float) -> np.ndarray:
    """[F] bool: frames between two samples that are further apart than ``longest`` frames: nothing is known there."""
    after = np.searchsorted(places, frames).clip(1, max(len(places) - 1, 1))
    if len(places) < 2:
        return np.zeros(len(frames), bool)
    left, right = places[after - 1], places[after]
    return (right - left > longest) & (frames > left + SNAP) & (frames < right - SNAP)


def _wanted_angles(capture: Capture, parts: Collection[str], notes: list[str]) -> dict[str, np.ndarray]:
    wanted = {}
    for part, joints in (("HEAD", ("head",)), ("EYES", ("eyeLeft", "eyeRight"))):
        found = {joint: capture.angles[joint] for joint in joints if joint in capture.angles} if part in parts else {}
        if part in parts and not any(rows.any() for rows in found.values()):
            notes.append(f"The capture does not turn the {part.lower()}.")  # also when that was off while recording
        else:
            wanted |= found
    return wanted


def _wanted_weights(
    head: Head, capture: Capture, parts: Collection[str], angles: Collection[str], notes: list[str]
) -> dict[str, np.ndarray]:
    weights = {name: rows for name, rows in capture.weights.items() if in_parts(name, parts)}
    if any(joint.startswith("eye") for joint in angles) and any(name.startswith("eyeLook") for name in weights):
        for name in [name for name in weights if name.startswith("eyeLook")]:
            del weights[name]
        notes.append("The eye bones carry the gaze, so the eyeLook keys were left out.")
    keys, shape_keys = head.keys, head.mesh.data.shape_keys
    for reason, names in (
        ("“{}” has no key for", [name for name in weights if name not in keys]),
        ("Drivers of “{}” hold", [name for name in weights if is_driven(shape_keys, key_path(name))]),
    ):
        if names:
            notes.append(f"{reason.format(head.name)} {', '.join(names)}.")
        for name in names:
            del weights[name]
    return weights


def _sampled(frames: np.ndarray, places: np.ndarray, rows: np.ndarray, strength: float, flip: bool) -> np.ndarray:
    """[T, 3] pitch, yaw, roll at the frames."""
    rows = np.unwrap(rows, axis=0) * strength * ((1, -1, -1) if flip else 1)
    return np.column_stack([np.interp(frames, places, column) for column in rows.T])


def joint_turns(name: str, rows: np.ndarray, share: float) -> Iterator[tuple[str, list[Quaternion]]]:
    """What the angles of a capture's joint do to the head's bones; the neck takes its share of the head's."""
    turns = [turn(row) for row in rows.tolist()]
    if name != "head" or share <= 0.0:
        yield name, turns
        return
    rest = Quaternion()
    bent = [rest.slerp(whole, share) for whole in turns]
    yield "neck", bent
    yield "head", [neck.inverted() @ whole for neck, whole in zip(bent, turns, strict=True)]


@dataclass(frozen=True)
class Samples:
    """A head's evaluated animation.

    Attributes:
        frames: [T] float64.
        weights: shape key -> [T] float64.
        turns: joint -> T rotations of the bone in its own rest axes, what constraints do included.
    """

    frames: np.ndarray
    weights: dict[str, np.ndarray]
    turns: dict[str, list[Quaternion]]


def sample(head: Head, scene: bpy.types.Scene, frames: np.ndarray, joints: Collection[str]) -> Samples:
    """Play frames and note what drivers, NLA, constraints and keyframes make of the head; the scene's frame comes back.

    Raises:
        AddonError: a bone is missing.
    """
    for joint in joints:
        require_bone(head, joint)
    names = list(head.keys)
    weights = np.zeros((len(frames), len(names)))
    turns: dict[str, list[Quaternion]] = {joint: [] for joint in joints}
    present, subframe = scene.frame_current, scene.frame_subframe
    try:
        for row, frame in enumerate(frames.tolist()):
            scene.frame_set(int(np.floor(frame)), subframe=frame - np.floor(frame))
            depsgraph = bpy.context.evaluated_depsgraph_get()
            blocks = head.mesh.data.shape_keys.evaluated_get(depsgraph).key_blocks
            weights[row] = [blocks[name].value for name in names]
            rig = head.armature.evaluated_get(depsgraph)
            for joint in joints:
                bone = rig.pose.bones[joint]
                local = rig.convert_space(pose_bone=bone, matrix=bone.matrix, from_space="POSE", to_space="LOCAL")
                turns[joint].append(local.to_quaternion())
    finally:
        scene.frame_set(present, subframe=subframe)
    return Samples(frames, dict(zip(names, weights.T, strict=True)), turns)


def export_capture(head: Head, scene: bpy.types.Scene, first: int, last: int) -> Capture:
    """The head's animation over a range of frames as a capture; keys that are not ARKit's are named in ``ignored``.

    Raises:
        AddonError: a bone is missing.
    """
    joints = ("neck", "head", "eyeLeft", "eyeRight")
    samples = sample(head, scene, np.arange(first, last + 1, dtype=np.float64), joints)
    turns = dict(samples.turns)
    turns["head"] = [neck @ own for neck, own in zip(turns.pop("neck"), turns["head"], strict=True)]
    angles = {
        joint: np.array([tuple(quaternion.to_euler("XYZ")) for quaternion in rows]) for joint, rows in turns.items()
    }
    moving = tuple(name for name, rows in samples.weights.items() if name not in ARKIT_NAMES and rows.any())
    weights = {name: rows for name, rows in samples.weights.items() if name in ARKIT_NAMES}
    rate = scene_rate(scene)
    return Capture((samples.frames - first) / rate, weights, angles, rate, moving)
