"""Notices when Blender's own box, lasso or circle selection has ended in a viewport, and what it went over.

Blender tells nobody; but while it runs it is among the window's modal operators and redraws its viewport, and when it
has ended it is the last of the operators that can be repeated, with everything that it was called with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import bpy
import numpy as np

SELECTIONS = ("VIEW3D_OT_select_box", "VIEW3D_OT_select_lasso", "VIEW3D_OT_select_circle")


@dataclass(frozen=True)
class Gesture:
    """What was gone over.

    Attributes:
        mode: SET, ADD, SUB, XOR or AND, as Blender has them.
        inside: from pixels [N, 2] of the region to [N] bool.
    """

    mode: str
    inside: Callable[[np.ndarray], np.ndarray]


ENDED: list[Callable[[bpy.types.Context, Gesture], None]] = []  # called with the viewport as context
_begun: dict[str, object] | None = None  # the viewport that one runs in, as an override of the context


def watch(context: bpy.types.Context) -> None:
    """To be called by whatever draws a viewport."""
    global _begun
    if _begun is None and any(op.bl_idname in SELECTIONS for op in context.window.modal_operators):
        _begun = {name: getattr(context, name) for name in ("window", "area", "region", "space_data", "region_data")}
        bpy.app.timers.register(_look, first_interval=0.0)


def _look() -> float | None:
    """Every frame's time until it has ended: there is no other sign where it changed nothing."""
    global _begun
    window = _begun["window"]
    if window not in list(bpy.context.window_manager.windows):
        _begun = None
        return None
    if any(op.bl_idname in SELECTIONS for op in window.modal_operators):
        return 0.05
    viewport, _begun = _begun, None
    last = next(reversed(bpy.context.window_manager.operators), None)
    if last is not None and last.bl_idname in SELECTIONS and (gesture := _gesture(last.properties)):
        place = {name: viewport[name] for name in ("window", "area", "region")}
        with bpy.context.temp_override(**place):
            for heed in ENDED:
                heed(bpy.context, gesture)
    return None


def _gesture(called: bpy.types.OperatorProperties) -> Gesture | None:
    if "xmin" in called.bl_rna.properties:
        low, high = np.array((called.xmin, called.ymin)), np.array((called.xmax, called.ymax))
        return Gesture(called.mode, lambda pixels: ((pixels >= low) & (pixels <= high)).all(axis=1))
    if "path" in called.bl_rna.properties:
        corners = np.array([point.loc for point in called.path])
        return Gesture(called.mode, lambda pixels: _in_polygon(pixels, corners)) if len(corners) > 2 else None
    middle, radius = np.array((called.x, called.y)), called.radius
    return Gesture(called.mode, lambda pixels: np.linalg.norm(pixels - middle, axis=1) <= radius)


def _in_polygon(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """[N] bool: even-odd rule for points [N, 2] and a closed line of corners [K, 2]."""
    box = ((points >= corners.min(axis=0)) & (points <= corners.max(axis=0))).all(axis=1)
    x, y = points[box].T
    odd = np.zeros(len(x), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            odd ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    found = np.zeros(len(points), bool)
    found[box] = odd
    return found
