"""Pack the islands of a UV map into a square, by trying places on a grid of cells."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation
from scipy.signal import fftconvolve

from engine.heads.atlas import make_atlas
from engine.heads.flatten import areas

GRID = 256
"""Cells per side; islands keep one cell free between them and to the border, two texels of 512."""

_FINE = 4  # samples per cell and axis that decide whether an island touches it
_TIGHTEST, _GROWTH = 0.85, 1.02  # share of the square that is tried first; how much larger each next try is


def pack(uv: np.ndarray, uv_faces: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Move islands, without turning them, into the smallest square that is found to hold them; largest first.

    Args:
        uv: [T, 2], v up; every island in its own place, at the scale that it should have relative to the others.
        uv_faces: [F, 3] int.
        labels: [F] island of every face, 0 … L - 1.

    Returns:
        [T, 2] in 0..1.
    """
    members = [uv_faces[labels == label] for label in range(labels.max() + 1)]
    members.sort(key=lambda faces: -float(np.ptp(uv[faces.ravel()], axis=0).prod()))
    side = np.sqrt(areas(uv, uv_faces).sum() / _TIGHTEST)
    while (packed := _place_all(uv, members, GRID / side)) is None:
        side *= _GROWTH
    return packed


def _place_all(uv: np.ndarray, members: list[np.ndarray], scale: float) -> np.ndarray | None:
    """[T, 2] in 0..1, or None if the islands, at ``scale`` cells per unit, do not fit."""
    packed, taken = np.zeros_like(uv), np.zeros((GRID, GRID))
    for faces in members:
        island, local = np.unique(faces, return_inverse=True)
        points = uv[island] * [scale, -scale]  # rows go down
        points -= points.min(axis=0)
        touched = _touched(points, local.reshape(faces.shape))
        height, width = touched.shape
        if height > GRID or width > GRID:
            return None
        wide = binary_dilation(touched, np.ones((3, 3)))
        hits = fftconvolve(taken, wide[::-1, ::-1], mode="valid")
        free = np.argwhere(hits < 0.5)
        if len(free) == 0:
            return None
        row, column = free[0]  # the topmost, then the leftmost
        taken[row : row + height, column : column + width] += touched
        x, y = ((points + 1 + [column, row]) / GRID).T
        packed[island] = np.stack([x, 1 - y], axis=1)
    return packed


def _touched(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[h, w] bool: cells that an island (in cells, from 0) covers a part of, with one empty cell all round."""
    width, height = np.floor(points.max(axis=0)).astype(int) + 1
    size = max(width, height)
    mask = make_atlas(points / size * [1, -1] + [0, 1], faces, int(size) * _FINE).mask
    cells = mask[: height * _FINE, : width * _FINE].reshape(height, _FINE, width, _FINE).any(axis=(1, 3))
    return np.pad(cells, 1)
