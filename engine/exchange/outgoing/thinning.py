"""Fewer, larger splats that look the same from outside.

As in hierarchical 3D Gaussians (Kerbl et al. 2024, arXiv 2406.12080), a merged splat covers as much as its parts did.
The parts are neighbours in place, colour and the side that they show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.exchange.outgoing.merging import grouped, heaviest, merge, to_splats
from engine.exchange.outgoing.seen import Seen
from engine.gaussians.gaussians import Splats

SHADE = 0.12  # of colours that may become one
COARSE = 0.01  # m: wider cells than this take in more of a shade, too
FINEST, WIDEST = 1e-5, 1.0  # m, of the cells that splats are merged in
STEPS = 24  # of halving, to find the cells' size
WIDER = 1.1  # of merged splats, so that no gaps show between them
MOST_OPAQUE = 0.99


@dataclass(frozen=True)
class Thinned:
    """Fewer splats for many. ``splats``: M. ``models``: [M] which of the many each of them moves with."""

    splats: Splats
    models: np.ndarray


def thin(splats: Splats, seen: Seen, count: int) -> Thinned:
    """At most ``count`` splats that cover what ``splats``, of which all are seen from outside, do."""
    groups = _groups(splats, seen, count)
    merged = merge(splats, groups, seen.total)
    variances = np.linalg.eigvalsh(merged.covariances)
    alone = np.bincount(groups) == 1
    wider = np.where(alone, 1, WIDER)
    covered = 2 * np.pi * wider * np.sqrt(variances[:, 1] * variances[:, 2])
    models = heaviest(groups, seen.total)
    opacities = np.where(
        alone, splats.opacities.double().numpy()[models], (merged.areas / covered).clip(max=MOST_OPAQUE)
    )
    covariances = merged.covariances * wider[:, None, None]
    return Thinned(to_splats(merged.means, covariances, opacities, merged.colors), models)


def _groups(splats: Splats, seen: Seen, count: int) -> np.ndarray:
    """The finest cells of which there are no more than ``count``."""
    low, high = FINEST, WIDEST
    for _ in range(STEPS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _cells(splats, seen, middle).max(initial=-1) >= count else (low, middle)
    return _cells(splats, seen, high)


def _cells(splats: Splats, seen: Seen, width: float) -> np.ndarray:
    shade = SHADE * max(1.0, width / COARSE)
    keys = (splats.means.double().numpy() // width, splats.colors.numpy() // shade, seen.toward.round())
    return grouped(np.concatenate(keys, axis=1).astype(np.int64))
