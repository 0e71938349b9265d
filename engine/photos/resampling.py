"""Moves pixels through a similarity: the one way in which the photo stage cuts, turns and scales images."""

from __future__ import annotations

import cv2
import numpy as np

KERNEL = 4  # result pixels that the filters may reach beyond the square


def warp(image: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """Resample an image into a square, without aliasing when it shrinks. Its border pixels go on outside of it.

    Args:
        image: [H, W] or [H, W, C], uint8 or float32; the square must lie over some of it.
        matrix: [2, 3] similarity from the image's pixel coordinates to the square's; centres at +0.5 in both.
        side: of the square, pixels.

    Returns:
        [side, side] or [side, side, C] of the same kind.
    """
    scale = np.sqrt(np.linalg.det(matrix[:, :2]))
    corners = np.array([(x, y) for x in (-KERNEL, side + KERNEL) for y in (-KERNEL, side + KERNEL)])
    seen = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    left, top = np.floor(np.maximum(seen.min(0), 0)).astype(int)
    right, bottom = np.ceil(np.minimum(seen.max(0), image.shape[1::-1])).astype(int)
    image = image[top:bottom, left:right]
    matrix = matrix @ np.array([[1.0, 0.0, left], [0.0, 1.0, top], [0.0, 0.0, 1.0]])
    if scale < 1:  # area-average first; the warp then only moves and turns
        height, width = image.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([width / size[0], height / size[1], 1.0])
    center_at_zero = matrix.copy()  # OpenCV counts pixel centres from 0
    center_at_zero[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(image, center_at_zero, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
