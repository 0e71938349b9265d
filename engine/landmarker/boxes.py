"""Where faces are: BlazeFace's boxes (arXiv 1907.05047), and the turned square around each for the mesh."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.special import expit

from engine.landmarker.face import EYE_LEFT, EYE_RIGHT

SIDE = 128  # px, what the detector looks at
GRIDS = ((16, 2), (8, 6))  # cells per side, anchors per cell
MIN_SCORE = 0.5
OVERLAP = 0.3  # intersection over union from which two boxes are one face
AROUND = 1.5  # side of the square in longer sides of the box


class Roi(NamedTuple):
    """A square in the image: centre and side in pixels, and its turn in radians, clockwise as seen."""

    x: float
    y: float
    side: float
    turn: float

    def crop(self, image: np.ndarray, side: int, border: int) -> np.ndarray:
        """[side, side, 3] uint8: the square as an upright picture, sampled as MediaPipe does."""
        box = ((self.x, self.y), (self.side, self.side), np.degrees(self.turn))
        corners = np.array([(0, side), (0, 0), (side, 0), (side, side)], np.float32)
        matrix = cv2.getPerspectiveTransform(cv2.boxPoints(box), corners)
        return cv2.warpPerspective(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=border)


def find(network: cv2.dnn.Net, image: np.ndarray) -> list[Roi]:
    """The faces in [H, W, 3] uint8 sRGB, the surest first."""
    height, width = image.shape[:2]
    whole = Roi(width / 2, height / 2, max(width, height), 0.0)
    small = whole.crop(image, SIDE, cv2.BORDER_CONSTANT)
    network.setInput((small.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None])
    raw, logits = network.forward(["regressors", "classificators"])
    scores = expit(logits.reshape(-1))
    sure = scores >= MIN_SCORE
    # x, y of the middle, width, height, then x, y of six points, as fractions of the square; the middle and the points
    # count from the anchor.
    values = raw.reshape(-1, 8, 2)[sure].astype(np.float64) / SIDE
    values[:, [0, *range(2, 8)]] += ANCHORS[sure, None]
    merged = _merge(values, scores[sure])
    return [_roi(points * whole.side + (whole.x - whole.side / 2, whole.y - whole.side / 2)) for points in merged]


def around(landmarks: np.ndarray) -> Roi:
    """The square around a face's landmarks [478, 3], pixels, as MediaPipe draws it for the next frame."""
    across = landmarks[EYE_LEFT, :2] - landmarks[EYE_RIGHT, :2]
    turn = np.arctan2(across[1], across[0])
    cos, sin = np.cos(turn), np.sin(turn)
    upright = landmarks[:, :2] @ np.array([[cos, -sin], [sin, cos]])
    low, high = upright.min(axis=0), upright.max(axis=0)
    x, y = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    return Roi(x, y, AROUND * (high - low).max(), turn)


def _roi(points: np.ndarray) -> Roi:
    """From ``low``, ``high`` corner of the box, right eye, left eye, in pixels of the image."""
    low, high, right_eye, left_eye = points
    across = left_eye - right_eye
    x, y = (low + high) / 2
    return Roi(x, y, AROUND * (high - low).max(), np.arctan2(across[1], across[0]))


def _merge(values: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    """Boxes of one face become their mean, weighted by score (BlazeFace, section 4): [4, 2] corners and eyes each."""
    half = values[:, 1] / 2
    points = np.stack([values[:, 0] - half, values[:, 0] + half, values[:, 2], values[:, 3]], axis=1)
    left = np.argsort(-scores, kind="stable")
    merged = []
    while len(left):
        same = _overlap(points[left[0]], points[left]) > OVERLAP
        same[0] = True  # a box without area overlaps nothing, not even itself
        group = left[same]
        merged.append(np.average(points[group], axis=0, weights=scores[group]))
        left = left[~same]
    return merged


def _overlap(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """[N] intersection over union of a box with others."""
    shared = np.clip(np.minimum(one[1], many[:, 1]) - np.maximum(one[0], many[:, 0]), 0, None).prod(axis=1)
    area = (one[1] - one[0]).prod() + (many[:, 1] - many[:, 0]).prod(axis=1)
    return shared / np.maximum(area - shared, 1e-12)


def _anchors() -> np.ndarray:
    """[896, 2] x, y of the anchors' middles as fractions of the image."""
    grids = []
    for cells, count in GRIDS:
        y, x = np.mgrid[:cells, :cells] + 0.5
        grids.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2) / cells, count, axis=0))
    return np.concatenate(grids)


ANCHORS = _anchors()
