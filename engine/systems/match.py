"""MATCH (arXiv 2603.15811): corrects what the photos paint on the head; Gaussians only follow the mesh."""

from __future__ import annotations

from typing import Any

import torch

from engine.gaussians.gaussians import Splats
from engine.heads.atlas import make_atlas, position_map
from engine.heads.parametric import ParametricHead
from engine.models.kit.registration import register
from engine.models.kit.rehearsal import (
    Rehearsal,
    built,
    shell_photos,
)
from engine.models.kit.scene import shell
from engine.models.learned.posed_images import PosedImages
from engine.models.learned.reconstruct import with_weights
from engine.models.learned.system import Encoded, person
from engine.models.learned.texel_system import TexelSystem
from engine.models.match import MATCH, MatchNetwork, MatchViews
from engine.models.spec import Contrast, Losses, NetworkSpec, SystemSpec

MATCH_PHOTO = (640, 512)  # height and width of the paper's photos


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


def _rehearse(config: MATCH, count: int, device: torch.device, photo: tuple[int, int] = MATCH_PHOTO) -> Rehearsal:
    """MATCH: registration, network, texture. Sapiens' features are noise, their making is not counted."""
    height, width = photo
    photos, mesh, patch = shell_photos(count, height, width, device), shell(), config.registration.image_patch
    atlas = make_atlas(mesh.uv, mesh.faces, config.registration.resolution)
    surface = position_map(atlas, mesh.faces, torch.from_numpy(mesh.vertices))[None].to(device)
    features = torch.randn(1, count, config.feature_width, height // patch, width // patch, device=device)
    views = MatchViews(photos.images, photos.where.mask, photos.viewmats, photos.Ks, photos.where, features)
    network = built(MatchNetwork, config, device)

    def texture() -> Any:
        with torch.autocast(device.type, enabled=False):  # its scores have a precision of their own
            neighbours = register(views.correspondence.uv, views.correspondence.mask, config.registration)
        return network.textured(views, views.images, surface, neighbours)

    return Rehearsal((network,), texture)


NETWORK = NetworkSpec(
    config=MATCH,
    system=MatchSystem,
    losses=Losses(),  # the paper's, but for LPIPS, whose weight there is 1 and comes late
    contrasts=(
        Contrast("guided > dense attention", {"guided": "false"}),
        Contrast("with > without colour skip", {"color": "direct"}),
    ),
    rehearse=_rehearse,
    published={"1 photo, create": "MATCH 0.5 s (for several photos)"},
)
SPEC = SystemSpec(
    name="match",
    label="MATCH",
    description="Network that corrects what the photos paint on the head. For sharp photos from several sides; "
    "Gaussians only follow the mesh",
    reconstruct=with_weights("match", NETWORK),
    seconds=8.0,
    network=NETWORK,
    order=1,
)
