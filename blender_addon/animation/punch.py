"""Replacing a piece of an F-curve so that all else of it plays as before: punch-in.

Adding a key to a curve bends what lies beside it: a Bézier segment is cut short, and automatic handles look at their
new neighbours. Here the segments at both ends are cut as de Casteljau does it, which leaves their shape, and handles
beside them that Blender would move are held (they become Free). Keys themselves stay where they are.
"""

from __future__ import annotations

import bpy
import numpy as np

from .curves import SAME_FRAME, curve_values, keyframe_enum, linear_keys, read_keys, write_keys

Keys = dict[str, np.ndarray]
_BISECTIONS = 50  # of a segment's parameter: beyond what a float32 tells
_SIDES = ("left", "right")


def shares(frames: np.ndarray, blend: float, at_start: bool = True, at_end: bool = True) -> np.ndarray:
    """[T] how much of what is new shows at frames: 0 at an end that is blended, 1 from ``blend`` frames inside it."""
    far = np.full(len(frames), np.inf)
    inside = np.minimum(frames - frames[0] if at_start else far, frames[-1] - frames if at_end else far)
    part = np.clip(inside / max(blend, SAME_FRAME), 0.0, 1.0)
    return part * part * (3.0 - 2.0 * part)


def blended(curve: bpy.types.FCurve, frames: np.ndarray, values: np.ndarray, share: np.ndarray, rest: float):
    """[T] values that are the curve's own where ``share`` is 0, and ``values`` where it is 1.

    Args:
        rest: the value of a curve that has no keys yet.
    """
    mixed = np.array(values, np.float64)
    partly = share < 1.0
    before = curve_values(curve, frames[partly], rest)
    mixed[partly] = before + share[partly] * (mixed[partly] - before)
    return mixed


def replace_between(curve: bpy.types.FCurve, frames: np.ndarray, values: np.ndarray) -> None:
    """Replace the keys from the first to the last of ``frames`` by linear ones; before and after, all plays as it did.

    Args:
        frames: [K] rising. values: [K]; the first and the last are the curve's own where it goes on beyond them.
    """
    if not len(curve.keyframe_points):
        write_keys(curve, linear_keys(frames, values))
        return
    keys = read_keys(curve)
    for frame in (frames[0], frames[-1]):
        keys = _split(curve, keys, float(frame))
    place = keys["co"][:, 0]
    early, late = place < frames[0] - SAME_FRAME, place > frames[-1] + SAME_FRAME
    first, last = (int(np.argmin(np.abs(place - frame))) for frame in (frames[0], frames[-1]))
    middle = linear_keys(frames, values)
    for end, side, key in ((0, "left", first), (-1, "right", last)):
        middle[f"handle_{side}"][end] = middle["co"][end] + keys[f"handle_{side}"][key] - keys["co"][key]
        middle[f"handle_{side}_type"][end] = keyframe_enum("handle_left_type", "FREE")
    for name in ("interpolation", "easing", "amplitude", "back", "period"):  # of the segment after the key
        middle[name][-1] = keys[name][last]
    _hold(curve, keys, early, late)
    write_keys(curve, {name: np.concatenate((keys[name][early], middle[name], keys[name][late])) for name in keys})


def _hold(curve: bpy.types.FCurve, keys: Keys, early: np.ndarray, late: np.ndarray) -> None:
    """Free the handles that Blender would move: those of the neighbours, and of all where one acceleration runs on."""
    before, after = np.flatnonzero(early)[-1:], np.flatnonzero(late)[:1]
    bezier = keyframe_enum("interpolation", "BEZIER")
    if curve.auto_smoothing != "NONE":
        if (keys["interpolation"][early] == bezier).any():
            before = np.flatnonzero(early)
        if (keys["interpolation"][late] == bezier).any():
            after = np.flatnonzero(late)
    aligned = keyframe_enum("handle_left_type", "ALIGNED")
    for side in _SIDES:
        for row in (*before, *after):
            if keys[f"handle_{side}_type"][row] != aligned:
                keys[f"handle_{side}_type"][row] = keyframe_enum("handle_left_type", "FREE")


def _split(curve: bpy.types.FCurve, keys: Keys, frame: float) -> Keys:
    """The keys with one at ``frame`` that changes nothing of what the curve shows."""
    place = keys["co"][:, 0]
    if np.abs(place - frame).min() <= SAME_FRAME:
        return keys
    after = int(np.searchsorted(place, frame))
    if 0 < after < len(place):
        kind = keys["interpolation"][after - 1]
        if kind == keyframe_enum("interpolation", "BEZIER"):
            return _split_bezier(keys, after, frame)
        if kind not in (keyframe_enum("interpolation", name) for name in ("LINEAR", "CONSTANT")):
            return _split_eased(curve, keys, after, frame)
    made = linear_keys(np.array([frame]), curve_values(curve, np.array([frame]), 0.0))
    if after:
        made["interpolation"][0] = keys["interpolation"][after - 1]
    return _inserted(keys, after, made)


def _split_bezier(keys: Keys, after: int, frame: float) -> Keys:
    start, end = keys["co"][after - 1].astype(float), keys["co"][after].astype(float)
    points = [start, keys["handle_right"][after - 1].astype(float), keys["handle_left"][after].astype(float), end]
    for handle, key in ((1, start), (2, end)):  # Blender shortens handles that reach beyond the segment
        reach = abs(points[handle][0] - key[0])
        if reach > end[0] - start[0]:
            points[handle] = key + (points[handle] - key) * (end[0] - start[0]) / reach
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _casteljau(points, middle)[0][-1][0] < frame else (low, middle)
    left, right = _casteljau(points, low)
    made = linear_keys(np.array([frame]), np.array([left[3][1]]))
    made["interpolation"][0] = keys["interpolation"][after - 1]
    made["handle_left"][0], made["handle_right"][0] = left[2], right[1]
    for side in _SIDES:
        made[f"handle_{side}_type"][0] = keyframe_enum("handle_left_type", "FREE")
    keys = {name: rows.copy() for name, rows in keys.items()}
    keys["handle_right"][after - 1], keys["handle_left"][after] = left[1], right[2]
    for key in (after - 1, after):
        for side in _SIDES:
            keys[f"handle_{side}_type"][key] = keyframe_enum("handle_left_type", "FREE")
    return _inserted(keys, after, made)


def _casteljau(points: list[np.ndarray], at: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The control points of both pieces of a cubic Bézier curve that is cut at a parameter."""
    left, right = [points[0]], [points[-1]]
    while len(points) > 1:
        points = [(1 - at) * one + at * two for one, two in zip(points[:-1], points[1:], strict=True)]
        left.append(points[0])
        right.insert(0, points[-1])
    return left, right


def _split_eased(curve: bpy.types.FCurve, keys: Keys, after: int, frame: float) -> Keys:
    """Bounces and the like cannot be cut: they become a key at every frame."""
    start, end = keys["co"][after - 1 : after + 1, 0]
    whole = np.arange(np.floor(start) + 1, np.ceil(end))
    frames = np.unique(np.concatenate((whole[(whole > start + SAME_FRAME) & (whole < end - SAME_FRAME)], [frame])))
    keys = {name: rows.copy() for name, rows in keys.items()}
    keys["interpolation"][after - 1] = keyframe_enum("interpolation", "LINEAR")
    return _inserted(keys, after, linear_keys(frames, curve_values(curve, frames, 0.0)))


def _inserted(keys: Keys, before: int, made: Keys) -> Keys:
    return {name: np.concatenate((rows[:before], made[name], rows[before:])) for name, rows in keys.items()}
