"""The landmarks in a face's square, and the expression that they show."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.special import expit

from engine.arkit import ARKIT_NAMES
from engine.landmarker.boxes import Roi

SIDE = 256  # px, what the network looks at
MIN_PRESENCE = 0.5  # that there is a face at all
# The landmarks that the expression network reads, and the order of what it says (MediaPipe's face_blendshapes_graph).
READ = np.array((
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80,
    81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154,
    155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263,
    267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321,
    323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387,
    388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
))  # fmt: skip
SAID = ("_neutral", *sorted(set(ARKIT_NAMES) - {"tongueOut"}, key=str.lower))


def find(network: cv2.dnn.Net, image: np.ndarray, roi: Roi) -> np.ndarray | None:
    """[478, 3] float64 landmarks in pixels of the image (see :class:`Face`); None where the square shows no face."""
    crop = roi.crop(image, SIDE, cv2.BORDER_REPLICATE)
    network.setInput((crop.astype(np.float32) / 255).transpose(2, 0, 1)[None])
    raw, logit = network.forward(["Identity", "Identity_1"])
    if expit(logit.item()) < MIN_PRESENCE:
        return None
    points = raw.reshape(-1, 3).astype(np.float64) / SIDE
    x, y = points[:, 0] - 0.5, points[:, 1] - 0.5
    cos, sin = np.cos(roi.turn), np.sin(roi.turn)
    return roi.side * np.column_stack([cos * x - sin * y, sin * x + cos * y, points[:, 2]]) + (roi.x, roi.y, 0)


def scores(network: cv2.dnn.Net, landmarks: np.ndarray) -> np.ndarray:
    """[52] float64 0..1 in ARKit's order."""
    network.setInput(landmarks[READ, :2].astype(np.float32)[None])
    said = dict(zip(SAID, network.forward().reshape(-1).astype(np.float64), strict=True))
    return np.array([said.get(name, 0.0) for name in ARKIT_NAMES])
