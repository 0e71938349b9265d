"""Blender's views in the terms of the two that draw them: matrices for the shader, cameras for the engine."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix

from ..errors import AddonError

_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])  # Blender's cameras look along -z with y up
UNIFORM = 1e-3  # relative difference between an object's scales that is taken for none


@dataclass(frozen=True)
class View:
    """A view of the world.

    Attributes:
        view: world to camera, which looks along -z with y up. window: projection to -1..1, as OpenGL has it.
        size: width, height in pixels.
    """

    view: Matrix
    window: Matrix
    size: tuple[int, int]


@dataclass(frozen=True)
class EngineCamera:
    """An engine's camera: viewmat [4, 4] world to camera (OpenCV), K [3, 3] in pixels; with ``ortho``, K's focal
    lengths are pixels per metre."""

    viewmat: list[list[float]]
    K: list[list[float]]
    ortho: bool


def scene_view(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, width: int = 0, height: int = 0) -> View:
    """The scene camera's view.

    Args:
        width, height: pixels; 0 takes the scene's own, percentage included.

    Raises:
        AddonError: the scene has no camera, or a panoramic one.
    """
    if scene.camera is None:
        raise AddonError(f"The scene {scene.name} has no camera.", "Add one and press Ctrl Numpad 0 to make it active.")
    if scene.camera.data.type not in ("PERSP", "ORTHO"):
        raise AddonError(
            f"{scene.camera.name} is a panoramic camera, through which splats cannot be drawn.",
            "Set its lens to Perspective or Orthographic.",
        )
    render = scene.render
    percentage = render.resolution_percentage / 100.0
    width = width or max(int(render.resolution_x * percentage), 1)
    height = height or max(int(render.resolution_y * percentage), 1)
    camera = scene.camera.evaluated_get(depsgraph)
    window = camera.calc_matrix_camera(
        depsgraph, x=width, y=height, scale_x=render.pixel_aspect_x, scale_y=render.pixel_aspect_y
    )
    return View(camera.matrix_world.normalized().inverted(), window, (width, height))


def engine_camera(view: View, world: np.ndarray) -> EngineCamera:
    """The same view as the engine takes it.

    Args:
        world: [4, 4] from the avatar's space to Blender's world; a scale is part of the camera from here on.

    Raises:
        AddonError: the head is stretched, which no camera can be.
    """
    viewmat = _OPENCV @ np.array(view.view, np.float64) @ world
    scales = np.linalg.norm(viewmat[:3, :3], axis=0)
    cosines = (viewmat[:3, :3] / scales).T @ (viewmat[:3, :3] / scales)
    if np.ptp(scales) > UNIFORM * scales.max() or np.abs(cosines - np.eye(3)).max() > UNIFORM:
        raise AddonError("The engine cannot draw a stretched head.", "Give its axes the same scale (Alt S resets it).")
    scale = float(scales.mean())
    viewmat[:3] /= scale
    p, (width, height) = np.array(view.window, np.float64), view.size
    ortho = bool(p[3, 3] == 1.0)
    shift = p[:2, 3] if ortho else -p[:2, 2]
    grow = scale if ortho else 1.0
    K = [
        [0.5 * width * p[0, 0] * grow, 0.0, 0.5 * width * (1.0 + shift[0])],
        [0.0, 0.5 * height * p[1, 1] * grow, 0.5 * height * (1.0 - shift[1])],
        [0.0, 0.0, 1.0],
    ]
    return EngineCamera(viewmat.tolist(), K, ortho)
