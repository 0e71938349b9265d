"""Smooth colours from scattered places."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

NEIGHBOURS = 64


class Surroundings:
    """A smooth colour field from known places [K, 3] and their colours: what lies near, without its detail."""

    def __init__(self, position: np.ndarray, colors: np.ndarray):
        self._tree, self._colors = cKDTree(position), colors

    def at(self, points: np.ndarray, blur: float) -> np.ndarray:
        """[M, 3] inverse-square-distance mean of the nearest colours.

        Args:
            blur: metres under which all count alike.
        """
        distance, index = self._tree.query(points, k=min(NEIGHBOURS, self._tree.n), workers=-1)
        weight = 1 / np.maximum(distance, blur) ** 2
        rows = np.arange(0, index.size + 1, index.shape[1])
        mix = csr_array((weight.ravel(), index.ravel(), rows), (len(points), self._tree.n))
        return mix @ self._colors / weight.sum(axis=1, keepdims=True)
