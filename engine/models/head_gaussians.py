"""What every system hands on to the rest of the pipeline, whatever it is inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from engine.gaussians.eigenbasis import Eigenbasis
from engine.gaussians.gaussians import BoundGaussians, select
from engine.heads.rig import Rig
from engine.tracking.tracked import View

HALF = 0.5  # of being seen, from which a Gaussian counts as seen where only yes or no will do


@dataclass(frozen=True)
class Shoot:
    """P photos of one person.

    Attributes:
        leading: the photo whose light the head takes, and whose hair and clothes.
        lights: [P, 9, 3] of each photo against the leading one's, see :mod:`engine.models.surface.lighting`.
        alike: [P] bool, taken in the same light as the leading one, so that hair and clothes agree, too.
    """

    leading: int
    lights: np.ndarray
    alike: np.ndarray


class Memory(Protocol):
    """What a system keeps of a person beside the avatar, so that photos can be added later."""

    def save(self, path: Path) -> None:
        """Write it, all or nothing. Raises: OutputError."""
        ...


@dataclass(frozen=True)
class HeadGaussians:
    """What every system hands on.

    Attributes:
        rig: the person's rig (neutral mesh with hair).
        gaussians: bound to ``rig``'s triangles.
        cover: [N, 3] metres, scales with which they just cover the surface; refinement starts there. A network's own
            are right at the size of the pictures that it learned from; from there, refinement leaves gaps between them.
        seen: [N] 0..1, how squarely the photo that owns them shows them; the less, the less refinement may change them.
        owner: [N] the photo that alone refines them; -1 where any may.
        fixed: [N] bool, parts that are drawn (see :mod:`engine.models.parts`) and stay so.
        shoot: how the photos compare.
        pairs: [M, 2] int64, Gaussians that lie side by side on the surface, for smoothness.
        views: one per photo, as the system left them.
        eigenbasis: the Gaussians' own motion beyond the mesh's, or None.
        metrics: what the system measured of itself, for the avatar's provenance.
        memory: of the photos, from systems that photos can be added to later; None from others.
    """

    rig: Rig
    gaussians: BoundGaussians
    cover: torch.Tensor
    seen: torch.Tensor
    owner: torch.Tensor
    fixed: torch.Tensor
    shoot: Shoot
    pairs: torch.Tensor
    views: tuple[View, ...]
    eigenbasis: Eigenbasis | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    memory: Memory | None = None

    @property
    def square(self) -> torch.Tensor:
        """[N] 0..1: ``seen`` from where it counts as seen at all."""
        return ((self.seen - HALF) / (1 - HALF)).clamp(0, 1)

    def kept(self, mask: torch.Tensor) -> HeadGaussians:
        """The head of the Gaussians of a mask [N] alone."""
        eigenbasis = self.eigenbasis
        return replace(
            self,
            gaussians=select(self.gaussians, mask),
            cover=self.cover[mask],
            seen=self.seen[mask],
            owner=self.owner[mask],
            fixed=self.fixed[mask],
            pairs=kept_pairs(self.pairs.cpu().numpy(), mask.cpu().numpy()).to(mask.device),
            eigenbasis=None if eigenbasis is None else replace(eigenbasis, basis=eigenbasis.basis[:, mask]),
        )


def kept_pairs(pairs: np.ndarray, keep: np.ndarray) -> torch.Tensor:
    """[M', 2] int64: the pairs of which both are kept [N], in the numbering of what is kept."""
    renumber = np.cumsum(keep) - 1
    return torch.from_numpy(renumber[pairs[keep[pairs].all(axis=1)]])
