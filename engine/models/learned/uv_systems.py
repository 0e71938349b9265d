"""MATCH, UIKA and FlexAvatar: Gaussians at the texels of the head's UV map."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.gaussians.gaussians import Splats
from engine.heads.parametric import ParametricHead
from engine.models.flexavatar import FlexAvatar, FlexAvatarNetwork, StaticHead, Texels, dynamic_texels
from engine.models.kit.correspondence import Correspondence
from engine.models.learned.capture import Capture, observe
from engine.models.learned.system import Learned, Look, UVMap, person
from engine.models.match import MATCH, MatchNetwork, MatchViews
from engine.models.uika import UIKA, UIKANetwork


def _correspondence(capture: Capture, head: ParametricHead) -> Correspondence:
    """The tracked mesh's, of one person."""
    seen = capture.seen.float()[None]
    return Correspondence(capture.uv(head.uv, head.uv_faces)[None], seen[:, :, None], seen)


def _texel_look(capture: Capture, texels: UVMap, state: object, seen: torch.Tensor) -> Look:
    return Look(capture.rig, texels.triangles, texels.barycentrics, state, seen, texels.pairs)


SEEN = 0.1  # confidence from which a texel counts as shown by a photo


class MatchSystem(Learned):
    """MATCH on photos of any instants: each photo is read where its own mesh lies, and the texture of Gaussians is
    predicted for the mesh at rest, which is what un-posing MATCH's posed texture gives (ours)."""

    moves = False

    def __init__(self, config: MATCH, head: ParametricHead):
        super().__init__()
        self.network = MatchNetwork(config)
        self.texels = UVMap(head, config.registration.resolution)

    def look(self, capture: Capture) -> Look:
        texels = self.texels
        back = torch.linalg.inv(capture.head_transforms)
        posed = [
            texels.positions(vertices @ turn[:3, :3].T + turn[:3, 3])
            for vertices, turn in zip(capture.posed, back, strict=True)
        ]
        views = MatchViews(
            capture.images[None],
            capture.masks[None],
            capture.head_viewmats[None],
            capture.Ks[None],
            _correspondence(capture, texels.head),
            posed=torch.stack(posed)[None],
        )
        texture = self.network(views, texels.positions(capture.rig.neutral)[None])
        seen = texture.observed[0][texels.valid].sum(-1) > 0
        return _texel_look(capture, texels, person(texture.splats, texels.valid), seen)

    def splats(self, look: Look, code: torch.Tensor) -> Splats:
        return look.state


class UIKASystem(Learned):
    """UIKA with the tracked mesh as provider of the correspondence, and the tracked neutral instead of the mean head
    as the surface that offsets start from (both ours: tracking is there anyway, for the rig)."""

    moves = False

    def __init__(self, config: UIKA, head: ParametricHead):
        super().__init__()
        self.network = UIKANetwork(config)
        self.texels = UVMap(head, config.resolution)

    def look(self, capture: Capture) -> Look:
        texels = self.texels
        surface = texels.positions(capture.rig.neutral)[texels.valid]
        where = _correspondence(capture, texels.head)
        splats = self.network(capture.images[None], where, texels.valid, surface)
        seen = observe(capture, texels.triangles, texels.barycentrics)[:, 3] > SEEN
        return _texel_look(capture, texels, person(splats), seen)

    def splats(self, look: Look, code: torch.Tensor) -> Splats:
        return look.state


@dataclass(frozen=True)
class _Static:
    head: StaticHead
    texels: Texels


class FlexAvatarSystem(Learned):
    """FlexAvatar; tracking gives the mesh that drives it and, for "mix", the colours that its texels start from."""

    moves = True

    def __init__(self, config: FlexAvatar, head: ParametricHead):
        super().__init__()
        self.config = config
        self.network = FlexAvatarNetwork(config)
        self.texels = UVMap(head, config.resolution)
        self.dynamic = dynamic_texels(self.texels.regions, config.dynamic_regions, self.texels.atlas.mask)

    def look(self, capture: Capture) -> Look:
        where = self.texels
        texels = Texels(where.valid, where.positions(capture.rig.neutral)[where.valid], self.dynamic)
        observed = observe(capture, where.triangles, where.barycentrics)
        colors = observed[None] if self.config.color == "mix" else None
        static = self.network.encode(capture.images[None], texels, colors)
        return _texel_look(capture, where, _Static(static, texels), observed[:, 3] > SEEN)

    def splats(self, look: Look, code: torch.Tensor) -> Splats:
        static: _Static = look.state
        if self.config.position_map:
            rig = look.rig
            weights = code[: len(rig.expression_basis)]
            keyed = rig.neutral + torch.tensordot(weights, rig.expression_basis, dims=1)
            driving = self.texels.positions(keyed).permute(2, 0, 1)
        else:
            driving = code
        return person(self.network.move(static.head, static.texels, driving[None]))
