"""Motion blur and depth of field: when and through which point of the lens a frame is seen, as the scene says."""

from __future__ import annotations

import math
from dataclasses import replace

import bpy
from mathutils import Matrix

from ..errors import AddonError
from .camera import View

# Start of the shutter before the frame, as a share of the time that it is open.
_BEFORE = {"START": 0.0, "CENTER": 0.5, "END": 1.0}
_PLASTIC = 0.7548776662466927, 0.5698402909980532  # powers of 1 / 1.3247, whose multiples fill a square evenly

Sample = tuple[float, tuple[float, float]]  # frames after the frame; point of a lens of radius 1


def samples(scene: bpy.types.Scene, count: int) -> list[Sample]:
    """What a frame is the mean of: the frame itself where nothing blurs it.

    Args:
        count: how many, where there is motion blur or depth of field.

    Raises:
        AddonError: depth of field of a camera without perspective.
    """
    render, data = scene.render, scene.camera.data
    if data.dof.use_dof and data.type != "PERSP":
        raise AddonError(
            f"{scene.camera.name} is orthographic, and such cameras have no depth of field here.",
            "Turn off Depth of Field in the camera's properties.",
        )
    if not (render.use_motion_blur or data.dof.use_dof):
        return [(0.0, (0.0, 0.0))]
    shutter = render.motion_blur_shutter if render.use_motion_blur else 0.0
    begin = -_BEFORE[render.motion_blur_position] * shutter
    found = []
    for k in range(count):
        radius, turn = ((0.5 + k * step) % 1.0 for step in _PLASTIC)
        radius, turn = math.sqrt(radius) if data.dof.use_dof else 0.0, 2.0 * math.pi * turn
        point = radius * math.cos(turn), radius * math.sin(turn)
        found.append((begin + (k + 0.5) / count * shutter, point))
    return found


def through_lens(view: View, camera: bpy.types.Object, point: tuple[float, float]) -> View:
    """The view through a point of the lens, that agrees with the pinhole's at the focus distance.

    Args:
        camera: evaluated. point: of a lens of radius 1.
    """
    if point == (0.0, 0.0):
        return view
    dof = camera.data.dof
    focus = dof.focus_distance
    if dof.focus_object is not None:
        focus = -(view.view @ dof.focus_object.matrix_world.translation).z
    radius = camera.data.lens * 1e-3 / (2.0 * dof.aperture_fstop)
    x, y = (radius * at for at in point)
    window = view.window.copy()
    window[0][2] -= window[0][0] * x / max(focus, 1e-6)
    window[1][2] -= window[1][1] * y / max(focus, 1e-6)
    return replace(view, view=Matrix.Translation((-x, -y, 0.0)) @ view.view, window=window)
