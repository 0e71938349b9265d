"""F-curves of a data-block as arrays."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ..compat import assigned_channels
from ..errors import AddonError

# Everything that a keyframe has, so that keys outside of a replaced range keep their shape: name, dtype, components.
_FIELDS = (
    ("co", np.float32, 2),
    ("handle_left", np.float32, 2),
    ("handle_right", np.float32, 2),
    ("interpolation", np.int32, 1),
    ("easing", np.int32, 1),
    ("handle_left_type", np.int32, 1),
    ("handle_right_type", np.int32, 1),
    ("type", np.int32, 1),
    ("amplitude", np.float32, 1),
    ("back", np.float32, 1),
    ("period", np.float32, 1),
)
SAME_FRAME = 1e-3  # frames: closer keys are the same key


def channels(owner: bpy.types.ID, create: bool = False) -> Any:
    """What holds the F-curves (``.fcurves``, ``.groups``) that animate a data-block; None where there is no such thing.

    Args:
        owner: the object or the shape keys.
        create: make action, slot, layer and strip where they are missing.

    Raises:
        AddonError: ``create``, and the action is linked from another file.
    """
    data = owner.animation_data or (owner.animation_data_create() if create else None)
    if data is None:
        return None
    if data.action is None:
        if not create:
            return None
        data.action = bpy.data.actions.new(f"{owner.name}Action")
    if create and not data.action.is_editable:
        raise AddonError(
            f"The action “{data.action.name}” of “{owner.name}” is linked from another file.",
            "Make the action local, or unlink it, and try again.",
        )
    return assigned_channels(data, create)


def find_curve(owner: bpy.types.ID, path: str, index: int = 0) -> bpy.types.FCurve | None:
    """The F-curve that animates a property now."""
    holder = channels(owner)
    return holder.fcurves.find(path, index=index) if holder is not None else None


def key_frames(owner: bpy.types.ID) -> set[float]:
    """The frames that hold a keyframe of a data-block."""
    holder = channels(owner)
    return {point.co.x for curve in holder.fcurves for point in curve.keyframe_points} if holder is not None else set()


def ensure_curve(holder, path: str, index: int = 0, group: str = "") -> bpy.types.FCurve:
    """The F-curve of a holder of :func:`channels`, made where it is missing, listed under ``group``."""
    curve = holder.fcurves.find(path, index=index)
    if curve is None:
        curve = holder.fcurves.new(path, index=index)
        if group:
            curve.group = holder.groups.get(group) or holder.groups.new(group)
    return curve


def is_driven(owner: bpy.types.ID, path: str, index: int = 0) -> bool:
    """Whether a driver decides on the property."""
    data = owner.animation_data
    driver = data.drivers.find(path, index=index) if data is not None else None
    return driver is not None and not driver.mute


def read_keys(curve: bpy.types.FCurve) -> dict[str, np.ndarray]:
    """All keyframes of a curve: [K] or [K, 2] per field."""
    keys = {}
    for name, dtype, size in _FIELDS:
        flat = np.empty(len(curve.keyframe_points) * size, dtype)
        curve.keyframe_points.foreach_get(name, flat)
        keys[name] = flat.reshape(-1, size) if size > 1 else flat
    return keys


def write_keys(curve: bpy.types.FCurve, keys: dict[str, np.ndarray]) -> None:
    """Give a curve exactly these keyframes, which are in order of time."""
    points = curve.keyframe_points
    points.clear()
    points.add(len(keys["co"]))
    for name, _, _ in _FIELDS:
        points.foreach_set(name, np.ascontiguousarray(keys[name]).reshape(-1))
    curve.update()


def replace_keys(curve: bpy.types.FCurve, frames: np.ndarray, values: np.ndarray) -> None:
    """Replace the keys from the first to the last of ``frames`` by linear ones, and leave the others as they are.

    Args:
        frames: [K] rising; may lie between whole frames.
        values: [K].
    """
    before = read_keys(curve)
    place = before["co"][:, 0]
    early, late = place < frames[0] - SAME_FRAME, place > frames[-1] + SAME_FRAME
    middle = {name: np.zeros((len(frames), size) if size > 1 else len(frames), dtype) for name, dtype, size in _FIELDS}
    for name in ("co", "handle_left", "handle_right"):
        middle[name][:] = np.column_stack((frames, values))
    middle["interpolation"][:] = _enum("interpolation", "LINEAR")
    for name in ("handle_left_type", "handle_right_type"):
        middle[name][:] = _enum(name, "AUTO_CLAMPED")
    write_keys(
        curve, {name: np.concatenate((before[name][early], middle[name], before[name][late])) for name in before}
    )


def _enum(field: str, identifier: str) -> int:
    return bpy.types.Keyframe.bl_rna.properties[field].enum_items[identifier].value
