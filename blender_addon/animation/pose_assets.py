"""Expressions and poses as assets: single-frame actions of shape keys and bones, marked for the asset browser.

Blender's own pose library applies the bones of such an action; the shape keys need :func:`apply`.
"""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from ..compat import all_curves, new_channels
from ..errors import AddonError
from ..rig.heads import Head
from .curves import ensure_curve, replace_keys
from .poses import JOINTS
from .symmetry import key_path
from .transfer import Snapshot, copy_pose, paste_pose

TAG = "Gaussian Head"  # of the assets
FRAME = 1.0
_EULER = 'pose.bones["{}"].rotation_euler'


def create(head: Head, name: str, with_bones: bool = True) -> bpy.types.Action:
    """Keep the head's present expression, and its pose, as an asset of this file.

    Args:
        with_bones: also keep neck, head, jaw and eyes.
    """
    snapshot = copy_pose(head, with_bones)
    action = bpy.data.actions.new(name)
    if snapshot.turns:  # first: Blender's own pose library reads the first slot
        holder = new_channels(action, "OBJECT", "rig")
        for joint, turn in snapshot.turns.items():
            for index, angle in enumerate(turn.to_euler("XYZ")):
                _hold(ensure_curve(holder, _EULER.format(joint), index, joint), angle)
    holder = new_channels(action, "KEY", "head")
    for key, weight in snapshot.weights.items():
        _hold(ensure_curve(holder, key_path(key)), weight)
    action.use_fake_user = True
    action.asset_mark()
    action.asset_data.description = f"Expression of {head.name}"
    action.asset_data.tags.new(TAG)
    return action


def assets() -> list[bpy.types.Action]:
    """The expression assets of this file, by name."""
    return [action for action in bpy.data.actions if action.asset_data is not None and TAG in action.asset_data.tags]


def apply(head: Head, action: bpy.types.Action, strength: float = 1.0) -> tuple[str, ...]:
    """Set a head to an expression asset; returns names that matter in it and that the head has not.

    Args:
        action: any action; its shape keys and bone rotations at its first frame are taken.
        strength: 0 keeps the present pose, 1 is the asset's.

    Raises:
        AddonError: the action moves no shape key and no bone of a head.
    """
    snapshot = _read(action)
    if not snapshot.weights and not snapshot.turns:
        raise AddonError(f"“{action.name}” holds no expression.", "Choose an asset that was made from a head.")
    return paste_pose(head, snapshot, strength)


def apply_from_library(head: Head, path: Path, name: str, strength: float = 1.0) -> tuple[str, ...]:
    """The same with an action of another .blend file, which leaves nothing of it behind.

    Raises:
        AddonError: there is no such file or action, or it holds no expression.
    """
    # Blender hands out what is linked already, which is the artist's and stays.
    actions, libraries = set(bpy.data.actions), set(bpy.data.libraries)
    try:
        with bpy.data.libraries.load(str(path), link=True) as (there, here):
            if name not in there.actions:
                raise AddonError(f"{path.name} has no action “{name}”.", "Refresh the asset browser and choose again.")
            here.actions = [name]
    except OSError as error:
        raise AddonError(f"{path.name} cannot be read.", "Check that the asset library is still there.") from error
    try:
        return apply(head, here.actions[0], strength)
    finally:
        for action in set(bpy.data.actions) - actions:
            bpy.data.actions.remove(action)
        for library in set(bpy.data.libraries) - libraries:
            bpy.data.libraries.remove(library)


def _hold(curve: bpy.types.FCurve, value: float) -> None:
    replace_keys(curve, np.array([FRAME]), np.array([value]))


def _read(action: bpy.types.Action) -> Snapshot:
    frame = action.frame_range[0]
    values = {(curve.data_path, curve.array_index): curve.evaluate(frame) for curve in all_curves(action)}
    weights = {
        bpy.utils.unescape_identifier(path[len('key_blocks["') : -len('"].value')]): value
        for (path, _), value in values.items()
        if path.startswith('key_blocks["') and path.endswith('"].value')
    }
    turns = {}
    for joint in JOINTS:
        path = _EULER.format(joint)
        if any((path, index) in values for index in range(3)):
            turns[joint] = Euler([values.get((path, index), 0.0) for index in range(3)], "XYZ").to_quaternion()
        path = path.replace("rotation_euler", "rotation_quaternion")
        if all((path, index) in values for index in range(4)):
            turns[joint] = Quaternion([values[path, index] for index in range(4)])
    return Snapshot(action.name, weights, turns)
