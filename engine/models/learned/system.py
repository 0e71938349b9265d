"""A network as a system: photos to Gaussians tied to triangles, under any motion; and the table of the five."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.gaussians.binding import bind
from engine.gaussians.gaussians import PARTS, BoundGaussians, Splats
from engine.heads.atlas import Atlas, make_atlas, position_map, region_masks, texel_neighbours
from engine.heads.parametric import ParametricHead
from engine.heads.rig import Rig
from engine.models.learned.capture import Capture


class UVMap:
    """A head's texels at one resolution, as tensors.

    Attributes:
        head: the model. atlas: its texels.
        triangles: [M] int64 and barycentrics: [M, 3], of the valid texels, row by row. valid: [R, R] bool.
    """

    def __init__(self, head: ParametricHead, resolution: int):
        self.head = head
        self.atlas: Atlas = make_atlas(head.uv, head.uv_faces, resolution)
        self.valid = torch.from_numpy(self.atlas.mask)
        self.triangles = torch.from_numpy(self.atlas.triangle[self.atlas.mask].astype(np.int64))
        self.barycentrics = torch.from_numpy(self.atlas.barycentric[self.atlas.mask])

    def positions(self, vertices: torch.Tensor) -> torch.Tensor:
        """[R, R, 3] metres, where the texels lie on the mesh of vertices [V, 3]; 0 at empty ones."""
        return position_map(self.atlas, self.head.faces, vertices)

    @cached_property
    def regions(self) -> dict[str, np.ndarray]:
        """Name -> [R, R] bool."""
        return region_masks(self.atlas, self.head.faces, self.head.regions)

    @cached_property
    def pairs(self) -> torch.Tensor:
        """[P, 2] int64, valid texels side by side on the surface."""
        template = torch.from_numpy(self.head.template)
        return torch.from_numpy(texel_neighbours(self.atlas, self.head.faces, self.positions(template).numpy()))


@dataclass(frozen=True)
class Look:
    """All that a network learned from one person's photos and that no motion changes.

    Attributes:
        rig: the person's.
        triangles: [N] int64 and barycentrics: [N, 3], what each of N Gaussians is tied to.
        state: the network's own.
        trusted: [N] bool, Gaussians that some photo shows well.
        pairs: [P, 2] int64, Gaussians side by side.
    """

    rig: Rig
    triangles: torch.Tensor
    barycentrics: torch.Tensor
    state: Any
    trusted: torch.Tensor
    pairs: torch.Tensor


class Learned(nn.Module):
    """One of the five. ``look`` at photos once, ``act`` for every motion.

    Attributes:
        network: all that is trained. moves: whether Gaussians change with the motion beyond what the mesh does.
    """

    network: nn.Module
    moves: bool

    @abstractmethod
    def look(self, capture: Capture) -> Look:
        """Everything that does not depend on the motion; differentiable in the network's parameters."""

    @abstractmethod
    def splats(self, look: Look, code: torch.Tensor) -> Splats:
        """N Gaussians of the rest pose under a motion code [67]; colours may leave 0..1 a little."""

    def act(self, look: Look, code: torch.Tensor) -> BoundGaussians:
        """The same, tied to the rig's triangles."""
        splats = self.splats(look, code)
        parts = torch.full((len(splats.means),), PARTS.index("surface"), dtype=torch.uint8)
        return bind(
            splats.means, splats.quats, splats.scales, splats.opacities, splats.colors, parts,
            look.rig.neutral, look.rig.faces, look.triangles, look.barycentrics,
        )  # fmt: skip


def person(splats: Splats, where: torch.Tensor | None = None) -> Splats:
    """The one person of a batch, fields [1, ...] to [N, ...], at ``where`` (a mask of the axes between)."""
    values = [values[0] if where is None else values[0][where] for values in vars(splats).values()]
    return Splats(*values)
