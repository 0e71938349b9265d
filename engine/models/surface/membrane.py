"""Smooth colours on a mesh from scattered samples: a screened Poisson equation."""

from __future__ import annotations

import igl
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

ALIKE = 0.004  # of a sample's weight: how much a place wants the colour of its mirror image
TWIN = 0.01  # m off a place's mirror image, within which there must be one
ANYWHERE = 1e-6  # of it: how much a place wants the mean, for parts of the mesh without a sample


class Membrane:
    """Part of a mesh, over which values spread like a membrane that samples hold in place.

    Where samples are dense the result is their mean over about ``length``; where there are none it is as even as what
    is around allows (harmonic), and the further away that is the more it takes after its mirror image. After Pérez et
    al. 2003, "Poisson image editing", and Bhat et al. 2008, "Fourier analysis of the 2D screened Poisson equation",
    with the cotangent Laplacian instead of pixels.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, inside: np.ndarray):
        """
        Args:
            vertices: [V, 3] metres. faces: [F, 3]. inside: [F] bool, the part.
        """
        self._inside, self._count = inside, len(vertices)
        self._areas = igl.doublearea(vertices, faces) / 2
        self._used, local = np.unique(faces[inside], return_inverse=True)
        self._corners = np.zeros_like(faces)
        self._corners[inside] = local.reshape(-1, 3)
        part, corners = vertices[self._used], self._corners[inside]
        self._stiffness = -igl.cotmatrix(part, corners)
        self._mass = igl.massmatrix(part, corners, igl.MASSMATRIX_TYPE_BARYCENTRIC)
        off, twin = cKDTree(part).query(part * [-1, 1, 1])
        each = sparse.eye(len(part), format="csr")
        differ = sparse.diags((off < TWIN).astype(float)) @ (each - each[twin])
        self._twins = differ.T @ self._mass @ differ

    def fit(
        self, triangle: np.ndarray, barycentric: np.ndarray, values: np.ndarray, weights: np.ndarray, length: float
    ) -> np.ndarray:
        """[V, C] values at the vertices; 0 outside the part.

        Args:
            triangle: [N] of each sample; barycentric: [N, 3] in it; values: [N, C]. weights: [N] 0..1.
            length: metres under which detail is smoothed away.
        """
        counts = np.bincount(triangle, minlength=len(self._inside))
        held = weights * (self._inside * self._areas / np.maximum(counts, 1))[triangle]
        rows = np.arange(0, 3 * len(triangle) + 1, 3)
        shape = len(triangle), len(self._used)
        at = sparse.csr_array((barycentric.ravel(), self._corners[triangle].ravel(), rows), shape)
        mean = (held[:, None] * values).sum(axis=0) / max(held.sum(), 1e-12)
        system = at.T @ (at * held[:, None])
        system = system + length**2 * self._stiffness + ALIKE * self._twins + ANYWHERE * self._mass
        solved = np.zeros((self._count, values.shape[1]))
        solved[self._used] = mean + splu(sparse.csc_matrix(system)).solve(at.T @ (held[:, None] * (values - mean)))
        return solved
