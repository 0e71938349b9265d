"""UIKA's face UV estimator: photos without cameras to correspondence, by alternating attention over all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from engine.models.kit.blocks import AlternatingPair, BlockConfig
from engine.models.kit.correspondence import Correspondence
from engine.models.kit.dpt import DPT, DPTConfig, add_places, enlarge
from engine.models.kit.encoders import PATCH, VIT_B16, Dino, DinoConfig
from engine.models.kit.rotary import grid_rotation

PLACES = 0.1  # strength of the DPT's code of places
HEAD_WIDTH = 32  # channels before the last convolution
PAIRS = 4  # as many as the DPT has depths


@dataclass(frozen=True)
class UVEstimatorConfig:
    """Sizes.

    Attributes:
        encoder: DINOv3's, trained along. widths, width: of the DPT.
    """

    encoder: DinoConfig
    widths: tuple[int, int, int, int]
    width: int

    @classmethod
    def paper(cls) -> UVEstimatorConfig:
        """The released network's (arXiv 2601.07603, UV estimator)."""
        return cls(DinoConfig(VIT_B16.width, VIT_B16.depth, VIT_B16.heads, frozen=False), (256, 512, 1024, 1024), 256)

    @classmethod
    def small(cls) -> UVEstimatorConfig:
        """Ours: for two cores and half a dozen megabytes."""
        return cls(DinoConfig(96, 3, 3, frozen=False), (16, 32, 64, 64), 32)


class UVEstimator(nn.Module):
    """The network U(·) of UIKA (arXiv 2601.07603): DINOv3, four alternating pairs, DPT."""

    def __init__(self, config: UVEstimatorConfig):
        super().__init__()
        width, heads = config.encoder.width, config.encoder.heads
        self.config = config
        self.encoder = Dino(config.encoder)
        block = BlockConfig(width, heads, qk_norm="layer_head", layer_scale=0.01)
        self.pairs = nn.ModuleList(AlternatingPair(block) for _ in range(PAIRS))
        self.norm = nn.LayerNorm(2 * width, eps=1e-5)
        dpt = DPTConfig(
            2 * width, config.widths, config.width, relu_skip=True, align_corners=True, place=PLACES, final=2
        )  # fmt: skip
        self.dpt = DPT(dpt)
        self.narrow = nn.Conv2d(config.width, config.width // 2, 3, padding=1)
        self.head = nn.Sequential(
            nn.Conv2d(config.width // 2, HEAD_WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(HEAD_WIDTH, 3, 1)
        )  # fmt: skip

    def tokens(self, images: torch.Tensor) -> list[torch.Tensor]:
        """[B, V, 3, H, W] to the outputs of the four pairs, each [B, V, H/16 · W/16, 2 C]."""
        batch, views, _, height, width = images.shape
        (stream,) = self.encoder(images.flatten(0, 1))
        stream = stream.unflatten(0, (batch, views))  # [B, V, L, C]
        head_width = self.config.encoder.width // self.config.encoder.heads
        rotation = grid_rotation(height // PATCH, width // PATCH, head_width, images.device)
        depths = []
        for pair in self.pairs:
            stream, both = pair(stream, rotation)
            depths.append(both)
        return depths

    def forward(self, images: torch.Tensor, mask: torch.Tensor) -> Correspondence:
        """Where every pixel lies on the face's UV map.

        Args:
            images: [B, V, 3, H, W] RGB 0..1 on any background; H and W multiples of 16 (the released network: 512).
            mask: [B, V, 1, H, W], the matte; only handed through.
        """
        batch, views, _, height, width = images.shape
        aspect = width / height
        depths = [self.norm(each).flatten(0, 1) for each in self.tokens(images)]
        fine = self.narrow(self.dpt(depths, height // PATCH, aspect))
        raw = self.head(add_places(enlarge(fine, (height, width), True), aspect, PLACES))
        raw = raw.unflatten(0, (batch, views))  # [B, V, 3, H, W]
        return Correspondence(raw[:, :, :2].sigmoid(), mask, 1 + raw[:, :, 2].exp())
