"""Where a photo's face is open: the eyes between their lids, the mouth between its lips."""

from __future__ import annotations

import cv2
import numpy as np

from engine.heads.landmarks import EYE_RIMS

LID_INSIDE = 0.1  # of the gap between the lids, that the detector puts each of them too near to the other
# Its outline among MediaPipe's landmarks, one after the other.
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)


def wide_open(landmarks: np.ndarray) -> np.ndarray:
    """The ``landmarks`` [478, 2] with the lids' on the borders of the visible eyeballs: the detector puts them a little
    inside, where the iris is still dark under the lashes."""
    opened = landmarks.copy()
    for rim in EYE_RIMS.values():
        lower, upper = list(rim[1:8]), list(rim[15:8:-1])
        gap = landmarks[lower] - landmarks[upper]
        opened[lower] += LID_INSIDE * gap
        opened[upper] -= LID_INSIDE * gap
    return opened


def openings(landmarks: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width] bool: pixels between the lids and between the lips of a face's ``landmarks`` [478, 2], pixels."""
    landmarks = wide_open(landmarks)
    return np.any([within(landmarks[list(rim)], height, width) for rim in (*EYE_RIMS.values(), INNER_LIPS)], axis=0)


def within(outline: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width] bool: pixels inside an ``outline`` [K, 2], pixels."""
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return mask.astype(bool)
