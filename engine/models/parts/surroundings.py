"""Smooth colours from scattered places."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

NEIGHBOURS = 64
FIELD_SAMPLES, FIELD_BLUR = 3000, 0.006  # known texels behind a smooth field; m under which they count alike


class Surroundings:
    """Smooth colour fields from scattered known texels: what lies near, without its detail."""

    def __init__(self, position: np.ndarray, colors: np.ndarray, seed: int = 0):
        pick = np.random.default_rng(seed).permutation(len(position))[:FIELD_SAMPLES]
        self._tree, self._colors = cKDTree(position[pick]), colors[pick]

    def at(self, points: np.ndarray, blur: float = FIELD_BLUR) -> tuple[np.ndarray, np.ndarray]:
        """Inverse-square-distance mean of the nearest colours [M, 3], and the distance [M] to the nearest.

        Args:
            blur: metres under which all count alike.
        """
        distance, index = self._tree.query(points, k=min(NEIGHBOURS, self._tree.n), workers=-1)
        weight = 1 / np.maximum(distance, blur) ** 2
        rows = np.arange(0, index.size + 1, index.shape[1])
        mix = csr_array((weight.ravel(), index.ravel(), rows), (len(points), self._tree.n))
        return mix @ self._colors / weight.sum(axis=1, keepdims=True), distance[:, 0]
