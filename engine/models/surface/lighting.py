"""Photos of one person in different light: how much brighter one is than another, by where the skin faces.

The light of a photo on a matt skin is nine numbers per colour channel (Ramamoorthi and Hanrahan 2001, "An efficient
representation for irradiance environment maps"). Here they are those of the logarithm of the ratio to the leading
photo, so that no albedo needs to be known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine.photos.crop import FACE_LANDMARKS
from engine.photos.photo import Photo
from engine.tracking.tracked import View

TERMS = 9
RIDGE = np.array([1e-3, 0.05, 0.05, 0.05, 0.2, 0.2, 0.2, 0.2, 0.2])  # per texel: what few directions show stays plain
ROUNDS, OUTLIER = 6, 0.15  # of reweighting; of the logarithm, from which a texel counts less
GAIN_LIMITS = (0.4, 2.5)
EXPRESSION = 0.6  # how much a strong expression counts against a photo that shall lead


def harmonics(normals: torch.Tensor) -> torch.Tensor:
    """[N, 9]: constant, linear and quadratic real spherical harmonics of unit ``normals`` [N, 3], unnormalised."""
    x, y, z = normals.unbind(-1)
    return torch.stack([torch.ones_like(x), x, y, z, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], dim=-1)


def gains(light: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """[N, 3] factors between the leading photo's colours and those under a ``light`` [9, 3]; differentiable."""
    low, high = (float(np.log(limit)) for limit in GAIN_LIMITS)
    return (harmonics(normals) @ light).clamp(low, high).exp()


def fit_light(theirs: np.ndarray, leading: np.ndarray, normals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[9, C] light of a photo against the leading one's.

    Args:
        theirs, leading: [M, C] colours 0..1 of the same places. normals: [M, 3] unit. weights: [M].
    """
    ratio = np.log(theirs.clip(0.02)) - np.log(leading.clip(0.02))
    basis = harmonics(torch.from_numpy(normals)).numpy()
    light = np.zeros((TERMS, theirs.shape[1]))
    for channel in range(theirs.shape[1]):
        robust = weights / weights.sum()
        for _ in range(ROUNDS):
            left = basis.T @ (basis * robust[:, None]) + np.diag(RIDGE) * robust.sum()
            light[:, channel] = np.linalg.solve(left, basis.T @ (robust * ratio[:, channel]))
            off = np.abs(ratio[:, channel] - basis @ light[:, channel])
            robust = weights / weights.sum() / np.maximum(off / OUTLIER, 1.0)
    return light


def leading_photo(photos: Sequence[Photo], views: Sequence[View], facing: Sequence[float]) -> int:
    """The photo whose light, and whose colours where it sees well, a head takes: sharp, large, frontal, at rest
    and evenly lit.

    Args:
        facing: cosine between each photo's camera and the direction of the face.
    """
    worth = quality(photos)
    for i, view in enumerate(views):
        worth[i] *= max(facing[i], 0.05) ** 2 * np.exp(-EXPRESSION * np.linalg.norm(view.expression))
        worth[i] *= np.exp(-abs(_side_light(photos[i])))
    return int(np.argmax(worth))


def _side_light(photo: Photo) -> float:
    """Logarithm of the ratio of luminance between the two halves of a face."""
    points = photo.landmarks[:FACE_LANDMARKS, :2]
    middle, size = points[1, 0], photo.alpha.shape[0]
    column, row = points.astype(int).clip(0, size - 1).T
    grey = photo.image[row, column].mean(axis=1)
    left, right = grey[points[:, 0] < middle], grey[points[:, 0] >= middle]
    return float(np.log(left.mean() + 0.05) - np.log(right.mean() + 0.05)) if len(left) and len(right) else 0.0


def quality(photos: Sequence[Photo]) -> np.ndarray:
    """[P] 0..1: how much detail each photo has, against the best."""
    density = np.array([min(photo.density, 1.0) for photo in photos])
    sharp = np.array([photo.sharpness for photo in photos])
    return density / max(density.max(), 1e-9) * np.sqrt(sharp / max(sharp.max(), 1e-9))
