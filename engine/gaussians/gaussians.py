"""Gaussians bound to a mesh: the representation that every system ends in and the avatar file stores."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch


@dataclass(frozen=True)
class BoundGaussians:
    """N Gaussians, each living in the frame of one triangle (x along its first edge, z its normal, y = z × x).

    Under a deformed mesh a Gaussian's centre is ``barycentrics · corners + s · R · offset``, its rotation
    ``R ∘ quat`` and its scales ``s · scales``, where R is the triangle's frame and ``s`` the square root of the
    triangle's area over its rest area, kept within :data:`engine.gaussians.binding.STRETCH`.

    Attributes:
        triangles: [N] int64.
        barycentrics: [N, 3].
        offsets: [N, 3] metres, in the triangle's frame.
        quats: [N, 4] wxyz, unit length, in the triangle's frame.
        scales: [N, 3] metres, linear, positive.
        opacities: [N] 0..1.
        colors: [N, 3] display-referred sRGB 0..1.
        parts: [N] uint8, what it belongs to: 0 surface, 1 hair, 2 torso (see :data:`PARTS`).
    """

    triangles: torch.Tensor
    barycentrics: torch.Tensor
    offsets: torch.Tensor
    quats: torch.Tensor
    scales: torch.Tensor
    opacities: torch.Tensor
    colors: torch.Tensor
    parts: torch.Tensor

    def __len__(self) -> int:
        return len(self.triangles)


PARTS = ("surface", "hair", "torso")


def at_anchors(gaussians: BoundGaussians, faces: np.ndarray, attribute: np.ndarray) -> np.ndarray:
    """[N, C] a vertex attribute [V, C] where the Gaussians are anchored on the mesh of ``faces`` [F, 3]."""
    corners = attribute[faces[gaussians.triangles.cpu().numpy()]]
    return np.einsum("nkc,nk->nc", corners, gaussians.barycentrics.cpu().numpy())


def select(gaussians: BoundGaussians, mask: torch.Tensor) -> BoundGaussians:
    """The Gaussians of a mask [N]."""
    return BoundGaussians(*(getattr(gaussians, field.name)[mask] for field in fields(BoundGaussians)))


def concatenate(first: BoundGaussians, second: BoundGaussians) -> BoundGaussians:
    """Both sets as one, in order."""
    pairs = ((getattr(first, field.name), getattr(second, field.name)) for field in fields(BoundGaussians))
    return BoundGaussians(*(torch.cat(pair) for pair in pairs))


@dataclass(frozen=True)
class Splats:
    """N Gaussians in world space, ready for the rasteriser.

    Attributes:
        means: [N, 3] metres. quats: [N, 4] wxyz. scales: [N, 3] metres. opacities: [N] 0..1. colors: [N, 3] 0..1.
    """

    means: torch.Tensor
    quats: torch.Tensor
    scales: torch.Tensor
    opacities: torch.Tensor
    colors: torch.Tensor
