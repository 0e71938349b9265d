"""Gaussians of a part that is drawn rather than photographed: discs and strokes tied to the mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.gaussians.binding import bind, nearest_triangles
from engine.gaussians.gaussians import PARTS, BoundGaussians
from engine.gaussians.rotations import matrix_to_quat
from engine.heads.rig import Rig


@dataclass(frozen=True)
class Strokes:
    """M Gaussians in the neutral head's space.

    Attributes:
        means: [M, 3] metres. along: [M, 3] direction of the first axis. normals: [M, 3] of the third.
        scales: [M, 3] metres. opacities: [M]. colors: [M, 3] 0..1.
    """

    means: np.ndarray
    along: np.ndarray
    normals: np.ndarray
    scales: np.ndarray
    opacities: np.ndarray
    colors: np.ndarray


def discs(means: np.ndarray, normals: np.ndarray, radius: np.ndarray, colors: np.ndarray, opacity: float) -> Strokes:
    """Round discs [M] of standard deviation ``radius`` [M] metres across ``normals`` [M, 3], a fifth as thick."""
    helper = np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    scales = radius[:, None] * [1, 1, 0.2]
    return Strokes(means, np.cross(normals, helper), normals, scales, np.full(len(means), opacity), colors)


def tie(strokes: Strokes, rig: Rig, triangles: np.ndarray) -> BoundGaussians:
    """Bind every stroke to the nearest of some ``triangles`` [K] of the neutral mesh, which it then follows."""
    z = _unit(strokes.normals)
    x = _unit(strokes.along - (strokes.along * z).sum(axis=1, keepdims=True) * z)
    axes = np.stack([x, np.cross(z, x), z], axis=2)
    means = torch.from_numpy(strokes.means).float()
    nearest, barycentrics = nearest_triangles(means, rig.neutral, rig.faces, torch.from_numpy(triangles))
    return bind(
        means,
        matrix_to_quat(torch.from_numpy(axes).float()),
        torch.from_numpy(strokes.scales).float(),
        torch.from_numpy(strokes.opacities).float(),
        torch.from_numpy(strokes.colors.clip(0, 1)).float(),
        torch.full((len(means),), PARTS.index("surface"), dtype=torch.uint8),
        rig.neutral,
        rig.faces,
        nearest,
        barycentrics,
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
