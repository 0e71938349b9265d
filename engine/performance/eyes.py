"""Eyes of an actor: where they look, and how far they are shut."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.heads.landmarks import LEFT_IRIS, RIGHT_IRIS
from engine.heads.makehuman import GAZE_DEGREES
from engine.heads.portrait import Eyeball
from engine.tracking.solver import Fit

IRISES = ((LEFT_IRIS, "Left"), (RIGHT_IRIS, "Right"))  # the landmark in its middle, and its eye
OUTWARD = {"Left": 1.0, "Right": -1.0}  # side -> where its "Out" turns it
LEAST_OPEN = 0.01  # of the frames, those in which an eye is most closed
SHUT, SLACK = 0.3, 0.9  # of an eye's usual opening: where it is closed at least, and where it begins to close


def gaze(ball: Eyeball, iris: np.ndarray, fit: Fit, center: np.ndarray) -> np.ndarray:
    """[3] radians: pitch, yaw and roll of an eyeball whose iris is seen at [2] pixels."""
    ray = np.append((iris - center) / fit.focal, 1.0) @ fit.rotation
    ray /= np.linalg.norm(ray)
    away = -fit.translation @ fit.rotation - ball.centre  # from the ball to the camera
    along = away @ ray
    beside = away - along * ray
    depth = math.sqrt(max(ball.radius**2 - beside @ beside, 0.0))
    x, y, z = beside - depth * ray
    return np.array([math.atan2(-y, math.hypot(x, z)), math.atan2(x, z), 0.0])


def aperture(landmarks: np.ndarray, rim: tuple[int, ...]) -> float:
    """How far an eye's lids are apart, over the eye's width."""
    outer, inner = landmarks[rim[0]], landmarks[rim[8]]
    gaps = np.linalg.norm(landmarks[list(rim[1:8])] - landmarks[list(rim[15:8:-1])], axis=1)
    return float(np.sort(gaps)[-3:].mean() / max(float(np.linalg.norm(outer - inner)), 1e-6))


def shut(weights: np.ndarray, apertures: np.ndarray) -> np.ndarray:
    """The weights [T, 52] with blinks at least as far as the lids come together, [T, 2], in this actor's eyes."""
    weights = weights.copy()
    for column, (_, side) in zip(apertures.T, IRISES, strict=True):
        wide = float(np.median(column))
        closed = min(float(np.quantile(column, LEAST_OPEN)), SHUT * wide)
        blink = ARKIT_NAMES.index(f"eyeBlink{side}")
        found = np.clip((SLACK * wide - column) / max(SLACK * wide - closed, 1e-6), 0, 1)
        weights[:, blink] = np.maximum(weights[:, blink], found)
    return weights


def looking(weights: np.ndarray, eyes: Sequence[np.ndarray]) -> np.ndarray:
    """The weights [T, 52] with the eyeLook keys that turn the eyes as [T, 3] radians say."""
    weights = weights.copy()
    for turn, (_, side) in zip(eyes, IRISES, strict=True):
        pitch, out = np.degrees(turn[:, 0]), np.degrees(turn[:, 1]) * OUTWARD[side]
        for way, angle in (("Out", out), ("In", -out), ("Down", pitch), ("Up", -pitch)):
            weights[:, ARKIT_NAMES.index(f"eyeLook{way}{side}")] = np.clip(angle / GAZE_DEGREES[way], 0, 1)
    return weights
