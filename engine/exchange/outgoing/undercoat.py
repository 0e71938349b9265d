"""A coat of larger splats just under the skin, for viewers that leave out small ones.

PlayCanvas and SuperSplat draw no splat of a standard deviation under 0.22 pixels (2 pixels across as they count), so a
small head's skin falls away, and what lies behind it, being larger, shows. The coat has the skin's colours and stays
until the head is 25 pixels high; at other sizes the skin hides it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.exchange.outgoing.merging import averaged, covered, grouped, heaviest, merge, to_splats
from engine.exchange.outgoing.seen import Seen
from engine.exchange.outgoing.thinning import Thinned
from engine.gaussians.gaussians import Splats

SEEN = 5e-8  # m², in one picture: what shows less is behind the skin
FLAT = 2e-4  # m, the coat's thickness
MOST_OPAQUE = 0.98
SHOWS = 0.015  # of a splat of the coat, at most


@dataclass(frozen=True)
class Layer:
    """One size of splats, in metres.

    Attributes:
        cell: what one stands for. width: their standard deviation, at least; smaller splats get such a coat.
        depth: how far under them it lies.
    """

    cell: float
    width: float
    depth: float


LAYERS = (Layer(0.0025, 0.0011, 0.0015), Layer(0.005, 0.0022, 0.004))
SMALL = 0.82  # of a layer's width: splats that are smaller get a coat


def undercoat(splats: Splats, seen: Seen) -> Thinned:
    """The coat under what is seen from outside."""
    parts = [_layer(splats, seen, layer) for layer in LAYERS]
    fields = zip(*(vars(part.splats).values() for part in parts), strict=True)
    return Thinned(Splats(*map(torch.cat, fields)), np.concatenate([part.models for part in parts]))


def stays_under(coat: Splats, most: np.ndarray) -> np.ndarray:
    """[N] whether a splat of the coat is as unseen as it should be: beside thin hair and at edges some are not.

    Args:
        most: [N] m², of it in one picture, see :class:`Seen`.
    """
    return most <= SHOWS * covered(coat)


def _layer(splats: Splats, seen: Seen, layer: Layer) -> Thinned:
    small = splats.scales.amax(dim=1).numpy() < SMALL * layer.width
    chosen = np.flatnonzero((seen.most > SEEN) & small)
    fine = Splats(*(value[torch.from_numpy(chosen)] for value in vars(splats).values()))
    weights, toward = seen.total[chosen], seen.toward[chosen]
    cells = (fine.means.double().numpy() // layer.cell).astype(np.int64)
    groups = grouped(np.concatenate((cells, toward.round().astype(np.int64)), axis=1))
    merged, models = merge(fine, groups, weights), heaviest(groups, weights)
    outward = averaged(toward, groups, weights)
    outward = outward / np.linalg.norm(outward, axis=1, keepdims=True).clip(1e-12)
    along = np.eye(3) - outward[:, :, None] * outward[:, None]
    variances, axes = np.linalg.eigh(along @ merged.covariances @ along)
    variances[:, 0], variances[:, 1:] = FLAT**2, variances[:, 1:].clip(layer.width**2)
    covariances = (axes * variances[:, None]) @ axes.transpose(0, 2, 1)
    opacities = (merged.areas / layer.cell**2).clip(max=MOST_OPAQUE)
    coat = to_splats(merged.means - layer.depth * outward, covariances, opacities, merged.colors.clip(0, 1))
    return Thinned(coat, chosen[models])
