"""What systems with Gaussians at the texels of the head's UV map share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from engine.gaussians.eigenbasis import Eigenbasis
from engine.gaussians.gaussians import BoundGaussians, select
from engine.heads.parametric import ParametricHead
from engine.models.kit.correspondence import Correspondence
from engine.models.learned.density import Density
from engine.models.learned.posed_images import PosedImages
from engine.models.learned.system import Densified, Encoded, LearnedSystem, Paint, UVMap
from engine.models.surface import Painted


class DenseTexels(LearnedSystem):
    """A system whose last Gaussians lie at the valid texels of a UV map, and so can be carried to finer ones.

    Attributes:
        texels: the UV map. paint: reads the painted texture at all its Gaussians.
    """

    texels: UVMap
    paint: Paint

    def densified(
        self,
        encoded: Encoded,
        neutral: BoundGaussians,
        eigenbasis: Eigenbasis | None,
        painted: Painted,
        shown: np.ndarray,
    ) -> Densified:
        density = Density(self.texels, painted)
        last = slice(len(neutral) - len(self.texels.triangles), None)
        some = torch.zeros(len(neutral), dtype=torch.bool, device=self.device)
        some[last] = True
        colors = self.paint.read(encoded.texture.colors)
        finer = density.carried(select(neutral, some), encoded.spread[last], encoded.presence[last], colors[last])
        if eigenbasis is not None:
            eigenbasis = density.eigenbasis(replace(eigenbasis, basis=eigenbasis.basis[:, last]))
        cover, seen = (torch.from_numpy(each).float().to(self.device) for each in (painted.scales, shown))
        owner = torch.from_numpy(painted.texture.owner).to(self.device)
        return Densified(finer, eigenbasis, cover, seen, owner, painted.pairs)


class TexelSystem(DenseTexels):
    """A system whose N Gaussians lie at the valid texels."""

    def __init__(self, head: ParametricHead, resolution: int, photo_size: int):
        super().__init__()
        self.photo_size = photo_size
        self.texels = UVMap(head, resolution)
        self.paint = Paint(head, self.texels.triangles, self.texels.barycentrics)

    def painted(self, capture: PosedImages) -> torch.Tensor:
        """[4, R, R] the texture's colour and how squarely photos show it; 0 at empty texels."""
        texture = torch.cat((capture.texture.colors, capture.texture.seen[:, None]), dim=1)
        maps = texture.new_zeros(*self.texels.valid.shape, 4)
        maps[self.texels.valid] = self.paint.read(texture)
        return maps.permute(2, 0, 1)

    def correspondence(self, capture: PosedImages) -> Correspondence:
        """The tracked mesh's."""
        seen = capture.seen.float()[None]
        head = self.texels.head
        return Correspondence(capture.uv(head.uv, head.uv_faces)[None], seen[:, :, None], seen)

    def answer(self, capture: PosedImages, state: object) -> Encoded:
        """The network's state with the texels that its Gaussians are bound to."""
        texels, texture = self.texels, capture.texture
        return Encoded(
            capture.rig, texels.triangles, texels.barycentrics, texels.spread(capture.rig)[texels.triangles],
            self.paint.read(texture.presence), texture, state, self.paint.read(texture.seen), texels.pairs,
        )  # fmt: skip
