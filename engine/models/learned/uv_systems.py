"""MATCH, UIKA and FlexAvatar: Gaussians at the texels of the head's UV map."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.gaussians.gaussians import Splats
from engine.heads.parametric import ParametricHead
from engine.models.flexavatar import FlexAvatar, FlexAvatarNetwork, StaticHead, Texels, dynamic_texels
from engine.models.kit.correspondence import Correspondence
from engine.models.learned.posed_images import PosedImages
from engine.models.learned.system import Encoded, LearnedSystem, Paint, UVMap, person
from engine.models.match import MATCH, MatchNetwork, MatchViews
from engine.models.uika import UIKA, UIKANetwork


class TexelSystem(LearnedSystem):
    """What the systems on texels share."""

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


class MatchSystem(TexelSystem):
    """MATCH on photos of any instants. The coarse mesh is the tracked one, inflated to the hair and at rest: so the
    texture comes out un-posed; colours are those that ``surface`` projects from every photo's own pose (ours: a median
    over calibrated views of one instant is not what an artist has)."""

    moves = False

    def __init__(self, config: MATCH, head: ParametricHead):
        super().__init__(head, config.registration.resolution, config.image_size)
        self.network = MatchNetwork(config)

    def encode(self, capture: PosedImages) -> Encoded:
        views = MatchViews(
            capture.images[None],
            capture.masks[None],
            capture.head_viewmats[None],
            capture.Ks[None],
            self.correspondence(capture),
            painted=self.painted(capture)[:3].permute(1, 2, 0)[None],
        )
        with self.precision():
            texture = self.network(views, self.texels.positions(capture.rig.neutral)[None])
        return self.answer(capture, person(texture.splats, self.texels.valid))

    def splats(self, encoded: Encoded, code: torch.Tensor) -> Splats:
        return encoded.state


class UIKASystem(TexelSystem):
    """UIKA with the tracked mesh as provider of the correspondence, the tracked neutral instead of the mean head as the
    surface that offsets start from, and the painted texture as the observed colour (all ours: tracking is there
    anyway, for the rig)."""

    moves = False

    def __init__(self, config: UIKA, head: ParametricHead):
        super().__init__(head, config.resolution, config.image_size)
        self.network = UIKANetwork(config)

    def encode(self, capture: PosedImages) -> Encoded:
        valid = self.texels.valid
        surface = self.texels.positions(capture.rig.neutral)[valid]
        where, painted = self.correspondence(capture), self.painted(capture)[None]
        with self.precision():
            splats = self.network(capture.images[None], where, valid, surface, painted)
        return self.answer(capture, person(splats))

    def splats(self, encoded: Encoded, code: torch.Tensor) -> Splats:
        return encoded.state


@dataclass(frozen=True)
class _Static:
    head: StaticHead
    texels: Texels


class FlexAvatarSystem(TexelSystem):
    """FlexAvatar; tracking gives the mesh that drives it and, for "mix", the colours that its texels start from."""

    network: FlexAvatarNetwork
    moves = True

    def __init__(self, config: FlexAvatar, head: ParametricHead):
        super().__init__(head, config.resolution, config.image_size)
        self.config = config
        self.network = FlexAvatarNetwork(config)
        self.dynamic = dynamic_texels(self.texels.regions, config.dynamic_regions, self.texels.atlas.mask)

    def encode(self, capture: PosedImages) -> Encoded:
        where = self.texels
        texels = Texels(where.valid, where.positions(capture.rig.neutral)[where.valid], self.dynamic)
        painted = self.painted(capture)[None] if self.config.color == "mix" else None
        with self.precision():
            static = self.network.encode(capture.images[None], texels, painted)
        return self.answer(capture, _Static(static, texels))

    def splats(self, encoded: Encoded, code: torch.Tensor) -> Splats:
        static: _Static = encoded.state
        driving = code
        if self.config.position_map:
            rig = encoded.rig
            weights = code[: len(rig.expression_basis)]
            keyed = rig.neutral + torch.tensordot(weights, rig.expression_basis, dims=1)
            driving = self.texels.positions(keyed).permute(2, 0, 1)
        with self.precision():
            return person(self.network.move(static.head, static.texels, driving[None]))
