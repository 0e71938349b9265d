"""How a head is turned: the canonical face laid over the landmarks, as MediaPipe's face geometry does it."""

from __future__ import annotations

import numpy as np

from engine.landmarker.models import Canonical

FIELD_OF_VIEW = np.radians(63.0)  # vertical; MediaPipe assumes it for every camera
NEAR = 1.0  # centimetres


def rotation(canonical: Canonical, landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[3, 3] float64: canonical face to camera, x right, y up, z toward the viewer.

    Landmarks know their depth only relative to each other and as if seen from far away. Their distance follows from
    the canonical face's size, twice over: once to place them, and once more with the perspective taken out.

    Args:
        landmarks: [478, 3] pixels, z too. size: height and width of the image in pixels.
    """
    height, width = size
    per_pixel = 2 * NEAR * np.tan(FIELD_OF_VIEW / 2) / height
    screen = (landmarks[: len(canonical.vertices)] - (width / 2, height / 2, 0)) * (per_pixel, -per_pixel, per_pixel)
    middle = screen[:, 2].mean()

    def placed(scale: float) -> np.ndarray:
        points = screen.copy()
        points[:, 2] = (screen[:, 2] - middle + NEAR) / scale
        points[:, :2] *= points[:, 2:] / NEAR
        return points * (1, 1, -1)

    scale, _ = _align(canonical, screen * (1, 1, -1))
    again, _ = _align(canonical, placed(scale))
    return _align(canonical, placed(scale * again))[1]


def _align(canonical: Canonical, points: np.ndarray) -> tuple[float, np.ndarray]:
    """The scale and rotation [3, 3] that take the canonical face nearest to ``points`` (weighted Procrustes)."""
    weights = canonical.weights / canonical.weights.sum()
    source = canonical.vertices - weights @ canonical.vertices
    target = points - weights @ points
    u, s, vt = np.linalg.svd((target * weights[:, None]).T @ source)
    mirror = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = u @ mirror @ vt
    return float((s * mirror.diagonal()).sum() / (weights @ (source**2).sum(axis=1))), turn
