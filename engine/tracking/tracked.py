"""What tracking hands on: one identity, and for every photo a camera, a pose and an expression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """How one photo sees the head.

    The world is the avatar's rest space, in which the torso never moves; ``viewmat`` therefore carries the torso's pose
    and ``joint_rotations`` what neck and head do on top of it.

    Attributes:
        name: the photo's name.
        viewmat: [4, 4] float64, world to camera (OpenCV).
        K: [3, 3] float64, in window pixels.
        expression: [E] float64 weights, the head model's order.
        joint_rotations: [J, 3] float64 axis-angle.
        residual: mean landmark distance in window pixels after the fit.
    """

    name: str
    viewmat: np.ndarray
    K: np.ndarray
    expression: np.ndarray
    joint_rotations: np.ndarray
    residual: float


@dataclass(frozen=True)
class Tracked:
    """The person behind a set of photos.

    Attributes:
        identity: [I] float64, in standard deviations of the head model's basis.
        neutral: [V, 3] float32 metres, the head model shaped by ``identity`` and by what its basis cannot say
            (a smooth field that carries the landmarks onto the photos).
        joints: [J, 3] float32 metres, rest positions for ``neutral``.
        views: one per photo, in the photos' order.
        residuals: rows for the report: (photo, mean px, lips px, eyes px, focal px, yaw°, pitch°).
    """

    identity: np.ndarray
    neutral: np.ndarray
    joints: np.ndarray
    views: tuple[View, ...]
    residuals: tuple[tuple[str, float, float, float, float, float, float], ...]
