"""Gaussians of a part that is drawn rather than photographed: discs and strokes tied to the mesh, joined to a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from engine.gaussians.binding import bind, nearest_triangles
from engine.gaussians.eigenbasis import padded
from engine.gaussians.gaussians import PARTS, BoundGaussians, concatenate
from engine.gaussians.rotations import matrix_to_quat
from engine.heads.rig import Rig
from engine.locks import unit
from engine.models.head_gaussians import HeadGaussians


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


def scattered(areas: np.ndarray, step: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Places about ``step`` metres apart, [F] or one, on triangles of ``areas`` [F] m², at least one on each: the
    triangle [M] of each place, and its barycentrics [M, 3]."""
    counts = np.maximum(np.ceil(areas / step**2), 1).astype(int)
    which = np.repeat(np.arange(len(areas)), counts)
    k = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    # the R2 sequence (Roberts 2018) folded into the triangle covers it evenly without a grid's seams
    u, v = (0.5 + k * 0.7548776662466927) % 1, (0.5 + k * 0.5698402909980532) % 1
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    return which, np.stack([1 - u - v, u, v], axis=1)


def tie(strokes: Strokes, rig: Rig, triangles: np.ndarray, level: float = 1.0) -> BoundGaussians:
    """Bind every stroke to the nearest of some ``triangles`` [K] of the neutral mesh, which it then follows.

    Args:
        level: how much sideways distance counts of height.
    """
    z = unit(strokes.normals)
    x = unit(strokes.along - (strokes.along * z).sum(axis=1, keepdims=True) * z)
    axes = np.stack([x, np.cross(z, x), z], axis=2)
    means = torch.from_numpy(strokes.means).float()
    flat = torch.tensor([level, 1.0, level])
    nearest, barycentrics = nearest_triangles(means * flat, rig.neutral * flat, rig.faces, torch.from_numpy(triangles))
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


def joined(
    model: HeadGaussians, keep: np.ndarray, fixed: torch.Tensor, drawn: Sequence[BoundGaussians]
) -> HeadGaussians:
    """A head of its kept Gaussians [N] bool, of which some are ``fixed`` [N], and those that were drawn."""
    kept = replace(model, fixed=fixed).kept(torch.from_numpy(keep))
    gaussians, eigenbasis = kept.gaussians, kept.eigenbasis
    for part in drawn:
        gaussians = concatenate(gaussians, part)
    added = len(gaussians) - len(kept.gaussians)
    if eigenbasis is not None:
        eigenbasis = replace(eigenbasis, basis=padded(eigenbasis.basis, len(gaussians)))
    return replace(
        kept,
        gaussians=gaussians,
        cover=torch.cat([kept.cover, gaussians.scales[len(kept.gaussians) :]]),
        seen=torch.cat([kept.seen, torch.zeros(added)]),
        owner=torch.cat([kept.owner, torch.full((added,), -1)]),
        fixed=torch.cat([kept.fixed, torch.ones(added, dtype=torch.bool)]),
        eigenbasis=eigenbasis,
    )
