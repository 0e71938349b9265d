"""Where a photo's face is open: the eyes between their lids, the mouth between its lips."""

from __future__ import annotations

import cv2
import numpy as np

from engine.heads.landmarks import LEFT_IRIS, RIGHT_IRIS

# Outlines among MediaPipe's landmarks, one after the other.
EYE_RIMS = {
    LEFT_IRIS: (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
    RIGHT_IRIS: (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
}
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)


def openings(landmarks: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width] bool: pixels between the lids and between the lips of a face's ``landmarks`` [478, 2], pixels."""
    mask = np.zeros((height, width), np.uint8)
    for rim in (*EYE_RIMS.values(), INNER_LIPS):
        cv2.fillPoly(mask, [np.round(landmarks[list(rim)]).astype(np.int32)], 1)
    return mask.astype(bool)
