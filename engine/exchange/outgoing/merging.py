"""Many splats to few: groups of neighbours, and the one Gaussian that stands for each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.gaussians.gaussians import Splats

THINNEST = 2e-5  # m, standard deviation
LIGHTEST = 1e-9  # weight that counts


@dataclass(frozen=True)
class Merged:
    """What G groups of splats have in common, float64.

    Attributes:
        means: [G, 3]. covariances: [G, 3, 3] m². colors: [G, 3]. areas: [G] m², see :func:`covered`.
    """

    means: np.ndarray
    covariances: np.ndarray
    colors: np.ndarray
    areas: np.ndarray


def merge(splats: Splats, groups: np.ndarray, weights: np.ndarray) -> Merged:
    """Mean and covariance of mixtures of Gaussians, weighted.

    Args:
        groups: [N] integers from 0. weights: [N], not negative.
    """
    means, colors = splats.means.double().numpy(), splats.colors.double().numpy()
    axes = Rotation.from_quat(splats.quats.double().numpy(), scalar_first=True).as_matrix()
    axes *= splats.scales.double().numpy()[:, None]
    middle = averaged(means, groups, weights)
    apart = means - middle[groups]
    spread = averaged(axes @ axes.transpose(0, 2, 1) + apart[:, :, None] * apart[:, None], groups, weights)
    areas = np.bincount(groups, covered(splats), len(middle))
    return Merged(middle, spread, averaged(colors, groups, weights), areas)


def averaged(values: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[G, ...] weighted means of the groups' values [N, ...]; groups and weights as for :func:`merge`."""
    count, weights = int(groups.max(initial=-1)) + 1, weights.clip(min=LIGHTEST)
    sums = np.bincount(groups, weights, count)
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    columns = [np.bincount(groups, weights * column, count) / sums for column in flat.T]
    return np.stack(columns, axis=1).reshape(count, *values.shape[1:])


def covered(splats: Splats) -> np.ndarray:
    """[N] m² that splats cover where they are seen at their widest, times their opacity."""
    widest = splats.scales.double().sort(dim=1).values[:, 1:].prod(dim=1)
    return (2 * np.pi * widest * splats.opacities.double()).numpy()


def grouped(keys: np.ndarray) -> np.ndarray:
    """[N] the number of the group of equal rows [N, K] of integers that each is in, from 0."""
    mixed = np.zeros(len(keys), np.uint64)
    for column in keys.T:  # one number for a row, which sorts much faster
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + column.astype(np.int64).view(np.uint64)
        mixed ^= mixed >> np.uint64(29)
    return np.unique(mixed, return_inverse=True)[1].reshape(-1)


def heaviest(groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[G] the member of each group with the largest weight."""
    order = np.lexsort((-weights, groups))
    return order[np.unique(groups[order], return_index=True)[1]]


def to_splats(means: np.ndarray, covariances: np.ndarray, opacities: np.ndarray, colors: np.ndarray) -> Splats:
    """Gaussians by their covariances."""
    variances, axes = np.linalg.eigh(covariances)
    axes[np.linalg.det(axes) < 0, :, 0] *= -1
    quats = Rotation.from_matrix(axes).as_quat(scalar_first=True) if len(axes) else np.zeros((0, 4))
    scales = np.sqrt(variances.clip(THINNEST**2))
    parts = (means, quats, scales, opacities.clip(0, 1), colors)
    return Splats(*(torch.from_numpy(np.ascontiguousarray(part)).float() for part in parts))
