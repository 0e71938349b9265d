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
MANY = 100  # frames, from which on reading all keys takes less time than evaluating the curve at each


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
    if not len(curve.keyframe_points):
        return linear_keys(np.empty(0), np.empty(0))
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
    for name, _, size in _FIELDS:  # each takes as long as a thousand evaluations: none that says nothing new
        if size == 1:
            known = _number(points[0], name)
        elif name.startswith("handle"):  # Blender places those that are not the artist's own
            known = keys[name] if _is_automatic(keys[f"{name}_type"]) else None
        else:
            known = None
        if known is None or not np.array_equal(keys[name], np.broadcast_to(known, keys[name].shape)):
            points.foreach_set(name, np.ascontiguousarray(keys[name]).reshape(-1))
    curve.update()


def _number(point: bpy.types.Keyframe, field: str) -> float:
    value = getattr(point, field)
    return keyframe_enum(field, value) if isinstance(value, str) else value


def _is_automatic(types: np.ndarray) -> bool:
    return not np.isin(types, [keyframe_enum("handle_left_type", name) for name in ("FREE", "ALIGNED")]).any()


def replace_keys(curve: bpy.types.FCurve, frames: np.ndarray, values: np.ndarray) -> None:
    """Replace the keys from the first to the last of ``frames`` by linear ones, and leave the others as they are.

    Args:
        frames: [K] rising; may lie between whole frames.
        values: [K].
    """
    middle = linear_keys(frames, values)
    place = key_places(curve)[:, 0]
    early, late = place < frames[0] - SAME_FRAME, place > frames[-1] + SAME_FRAME
    if not early.any() and not late.any():
        write_keys(curve, middle)
        return
    before = read_keys(curve)
    write_keys(
        curve, {name: np.concatenate((before[name][early], middle[name], before[name][late])) for name in before}
    )


def linear_keys(frames: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """Keyframes [K] with straight lines between them, as :func:`read_keys` has them."""
    keys = {name: np.zeros((len(frames), size) if size > 1 else len(frames), dtype) for name, dtype, size in _FIELDS}
    for name in ("co", "handle_left", "handle_right"):
        keys[name][:] = np.column_stack((frames, values))
    keys["interpolation"][:] = keyframe_enum("interpolation", "LINEAR")
    for name in ("handle_left_type", "handle_right_type"):
        keys[name][:] = keyframe_enum(name, "AUTO_CLAMPED")
    return keys


def key_places(curve: bpy.types.FCurve) -> np.ndarray:
    """[K, 2] frame and value of each key."""
    places = np.empty(2 * len(curve.keyframe_points), np.float32)
    curve.keyframe_points.foreach_get("co", places)
    return places.reshape(-1, 2)


def keys_between(curve: bpy.types.FCurve, first: float, last: float) -> int:
    """How many keys a curve has from one frame to another."""
    place = key_places(curve)[:, 0]
    return int(((place >= first - SAME_FRAME) & (place <= last + SAME_FRAME)).sum())


def curve_values(curve: bpy.types.FCurve | None, frames: np.ndarray, rest: float) -> np.ndarray:
    """[T] float64 what a curve says at frames; ``rest`` where there is none, or none with keys."""
    if curve is None or not len(curve.keyframe_points):
        return np.full(len(frames), rest)
    if len(frames) > MANY and curve.extrapolation == "CONSTANT" and not len(curve.modifiers):  # ten times as fast
        kinds = np.empty(len(curve.keyframe_points), np.int32)
        curve.keyframe_points.foreach_get("interpolation", kinds)
        if (kinds == keyframe_enum("interpolation", "LINEAR")).all():
            return np.interp(frames, *key_places(curve).T.astype(np.float64))
    return np.array([curve.evaluate(frame) for frame in frames.tolist()], np.float64)


def keyframe_enum(field: str, identifier: str) -> int:
    """The number of an enum's item, as :func:`read_keys` has it."""
    return bpy.types.Keyframe.bl_rna.properties[field].enum_items[identifier].value
