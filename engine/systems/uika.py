"""UIKA (arXiv 2601.07603): weighs the photos against each other at every texel of the skin."""

from __future__ import annotations

import torch

from engine.gaussians.gaussians import Splats
from engine.heads.parametric import ParametricHead
from engine.models.kit.rehearsal import (
    Rehearsal,
    built,
    shell_photos,
    square,
    texels_of_shell,
)
from engine.models.kit.uv_estimator import UVEstimator
from engine.models.learned.posed_images import PosedImages
from engine.models.learned.reconstruct import with_weights
from engine.models.learned.system import Encoded, person
from engine.models.learned.texel_system import TexelSystem
from engine.models.official.uika import official_uika
from engine.models.spec import Contrast, Losses, NetworkSpec, SystemSpec
from engine.models.uika import UIKA, UIKANetwork


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


def _rehearse(config: UIKA, count: int, device: torch.device) -> Rehearsal:
    """UIKA: UV estimator, then network."""
    photos, (valid, surface, _) = (
        shell_photos(count, *square(config), device),
        texels_of_shell(config.resolution, device),
    )
    estimator, network = built(UVEstimator, config.estimator, device), built(UIKANetwork, config, device)
    images, mask = photos.images, photos.where.mask
    return Rehearsal((estimator, network), lambda: network(images, estimator(images, mask), valid, surface))


NETWORK = NetworkSpec(
    config=UIKA,
    system=UIKASystem,
    losses=Losses(l1=1.0, ssim=0.1),  # the paper's
    contrasts=(
        Contrast("with > without UV attention", {"uv_attention": "false"}),
        Contrast("with > without aggregation", {"aggregation": "false"}),
    ),
    rehearse=_rehearse,
    official=official_uika,
)
SPEC = SystemSpec(
    name="uika",
    label="UIKA",
    description="Network that weighs the photos against each other all over the skin. For few photos, and sides that "
    "none shows; Gaussians only follow the mesh",
    reconstruct=with_weights("uika", NETWORK),
    seconds=7.5,
    network=NETWORK,
    order=4,
)
