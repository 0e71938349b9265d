"""Tokens at points of the head: vertices, and texels whose features are mixed from their triangle's corners."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

REACH = 0.5  # metres; the slowest wave of the point code has twice this length, more than a head with shoulders


@dataclass(frozen=True)
class SurfacePoints:
    """V vertices and M texels of one head at rest.

    Attributes:
        vertices: [V, 3] metres.
        corners: [M, 3] int64, the vertices of the triangle under each texel.
        barycentrics: [M, 3], of the texel in that triangle.
    """

    vertices: torch.Tensor
    corners: torch.Tensor
    barycentrics: torch.Tensor

    def densify(self, values: torch.Tensor) -> torch.Tensor:
        """Values at vertices [..., V, C], mixed at the texels [..., M, C] (FFAvatar's UV densification)."""
        mixed = values[..., self.corners[:, 0], :] * self.barycentrics[:, :1]
        for corner in (1, 2):  # one after the other: [M, 3, C] need never exist
            mixed = mixed + values[..., self.corners[:, corner], :] * self.barycentrics[:, corner, None]
        return mixed

    @property
    def positions(self) -> torch.Tensor:
        """[V + M, 3] metres: vertices, then texels."""
        return torch.cat((self.vertices, self.densify(self.vertices)))


def point_code(points: torch.Tensor, waves: int) -> torch.Tensor:
    """Sines and cosines of places [..., 3] in metres at ``waves`` wavelengths, 1 m halved each time: [..., 6 waves]."""
    frequencies = math.pi / REACH * 2.0 ** torch.arange(waves, device=points.device, dtype=points.dtype)
    angles = (points[..., None] * frequencies).flatten(-2)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


class PointEmbedding(nn.Module):
    """Places to tokens (ours: :func:`point_code` and a linear map, so that any mesh's vertices will do)."""

    def __init__(self, waves: int, width: int):
        super().__init__()
        self.waves = waves
        self.linear = nn.Linear(6 * waves, width)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """[P, 3] metres to [P, width]."""
        return self.linear(point_code(points, self.waves))
