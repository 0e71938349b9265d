"""From the texels that a network knows to as many as the artist wants: all but the colours' detail is interpolated."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn import functional

from engine.gaussians.binding import triangle_frames
from engine.gaussians.eigenbasis import Eigenbasis
from engine.gaussians.gaussians import PARTS, BoundGaussians
from engine.models.learned.system import UVMap, nearest_texels
from engine.models.reach import bounded, reach
from engine.models.surface import Painted

EDGE = 1e-3  # opacities are interpolated as logits this far inside 0..1


class Density:
    """Carries values at a network's texels to those of a painted head, which are finer (ours).

    Args:
        coarse: the network's texels, on the network's device: all of this happens there. painted: the head.
    """

    def __init__(self, coarse: UVMap, painted: Painted):
        self.coarse, self.painted, self.device = coarse, painted, coarse.valid.device
        self.filled = nearest_texels(coarse.atlas).to(self.device)
        self.grid = UVMap(coarse.head, painted.resolution).uv[None, None].to(self.device)  # [1, 1, N, 2]
        self.triangles = torch.from_numpy(painted.texels.triangle).to(self.device)
        self.frames = triangle_frames(painted.rig.neutral, painted.rig.faces)[0].to(self.device)

    def sample(self, values: torch.Tensor) -> torch.Tensor:
        """Values [M, C] at the coarse texels, bilinear at the N fine ones."""
        maps = values[self.filled].permute(2, 0, 1)[None]
        found = functional.grid_sample(maps, self.grid, padding_mode="border", align_corners=False)
        return found[0, :, 0].T

    def turned(self, local: torch.Tensor) -> torch.Tensor:
        """Vectors [M, 3] in the frames of the coarse texels' triangles to [N, 3] in those of the fine ones'."""
        world = (self.frames[self.coarse.triangles] @ local[..., None])[..., 0]
        return (self.frames[self.triangles].transpose(-2, -1) @ self.sample(world)[..., None])[..., 0]

    def gaussians(
        self, known: BoundGaussians, spread: torch.Tensor, presence: torch.Tensor, colors: torch.Tensor
    ) -> BoundGaussians:
        """N Gaussians: place, shape and opacity interpolated, the network's correction of the colour too.

        Args:
            known: M Gaussians as the network gave them. spread: [M, 3] and presence: [M] as in
                :class:`~engine.models.learned.system.Encoded`. colors: [M, 3], the painted ones that they started from.
        """
        painted = self.painted
        opacity = known.opacities / presence.clamp_min(EDGE)
        smooth = torch.cat(
            (
                known.quats,
                (known.scales / spread).log(),
                opacity.clamp(EDGE, 1 - EDGE).logit()[:, None],
                known.colors - colors,
            ),
            dim=1,
        )
        quats, scales, logits, corrections = self.sample(smooth).split((4, 3, 1, 3), dim=1)
        there, barycentrics, cover, paint = (
            torch.from_numpy(each).float().to(self.device)
            for each in (painted.presence, painted.texels.barycentric, painted.scales, painted.colors)
        )
        return BoundGaussians(
            self.triangles,
            barycentrics,
            self.turned(known.offsets),
            functional.normalize(quats, dim=1),
            scales.exp() * cover,
            logits[:, 0].sigmoid() * there,
            (paint + corrections).clamp(0, 1),
            torch.full_like(self.triangles, PARTS.index("surface"), dtype=torch.uint8),
        )

    def carried(
        self, known: BoundGaussians, spread: torch.Tensor, presence: torch.Tensor, colors: torch.Tensor
    ) -> BoundGaussians:
        """:meth:`gaussians`; single ones far from their skin (the trainings are short) are drawn back to where
        refinement could have them."""
        finer = self.gaussians(known, spread, presence, colors)
        return replace(finer, offsets=bounded(finer.offsets, reach(finer, self.coarse.head)))

    def eigenbasis(self, known: Eigenbasis) -> Eigenbasis:
        """The same motion of the N Gaussians."""
        rows = []
        for direction in known.basis:
            offsets, others = direction.split((3, direction.shape[1] - 3), dim=1)
            rows.append(torch.cat((self.turned(offsets), self.sample(others)), dim=1))
        return replace(known, basis=torch.stack(rows))
