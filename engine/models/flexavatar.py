"""FlexAvatar (Peng et al., arXiv 2512.17717): photos alone to static UV Gaussians, and a UNet that moves them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from engine.gaussians.gaussians import Splats
from engine.heads.parametric import MOUTH
from engine.models.kit.activation import OBSERVED, GaussianHeads, GaussianTable, activate, on_the_surface
from engine.models.kit.blocks import Block, BlockConfig
from engine.models.kit.conditions import MOTION
from engine.models.kit.encoders import VIT_L16, Dino, DinoConfig, TapFusion
from engine.models.kit.tokens import LearnedUVTokens
from engine.models.kit.unet import UNet, UNetConfig
from engine.models.kit.upsample import Upsampler

POSITION_UNIT = 0.1  # metres that are 1 to the UNet (ours)
CODE_WIDTH = 16  # channels of a motion code as a map, where it replaces the position map (ours)
EYES = ("eyes", "lids", "lashes", "brows")


@dataclass(frozen=True)
class FlexAvatar:
    """The method's choices. Of the sizes only the resolution is known (arXiv 2512.17717); the others are ours.

    Attributes:
        image_size: px per side of the photos, a multiple of 16.
        encoder: DINOv3's. taps: its blocks that are read out.
        width: channels of a token. heads: per attention.
        self_blocks: of all photos' tokens together. query_blocks: pairs in which head queries look at the photos and
            then at each other.
        side: head queries per side of the UV map.
        upsample: channels on the way from queries to texels, twice as fine each time.
        identity_width: channels of the identity map.
        unet: of the dynamics.
        motion_width: numbers of a motion code; only for ``position_map`` False.
        position_map: the dynamics see the deformed mesh; else the coefficients only (the paper's ablation).
        dynamic_regions: of the head, where Gaussians may change: face, mouth and eyes in the paper.
        color: "direct" as in the paper; "mix" also sees the photos' colours at every texel, and starts from them (ours:
            a small network cannot paint).
        on_surface: Gaussians start as those of the ``surface`` system, see
            :func:`engine.models.kit.activation.on_the_surface` (ours: for short trainings).
    """

    image_size: int
    encoder: DinoConfig
    taps: tuple[int, ...]
    width: int
    heads: int
    self_blocks: int
    query_blocks: int
    side: int
    upsample: tuple[int, ...]
    identity_width: int
    unet: UNetConfig
    motion_width: int
    position_map: bool = True
    dynamic_regions: tuple[str, ...] = ("face", *EYES, *MOUTH)
    color: Literal["direct", "mix"] = "direct"
    on_surface: bool = False

    @classmethod
    def paper(cls) -> FlexAvatar:
        """400² texels."""
        return cls(
            image_size=512,
            encoder=VIT_L16,
            taps=(4, 11, 17, 23),
            width=1024,
            heads=16,
            self_blocks=4,
            query_blocks=4,
            side=50,
            upsample=(256, 128, 64),
            identity_width=32,
            unet=UNetConfig(64, 4),
            motion_width=115,
        )

    @classmethod
    def small(cls) -> FlexAvatar:
        """256² texels from photos of 256²; the encoder is trained along, from nothing."""
        return cls(
            image_size=256,
            encoder=DinoConfig(128, 4, 4, frozen=False),
            taps=(1, 3),
            width=160,
            heads=5,
            self_blocks=2,
            query_blocks=2,
            side=32,
            upsample=(64, 32, 24),
            identity_width=12,
            unet=UNetConfig(16, 5),
            motion_width=MOTION,
            color="mix",
            on_surface=True,
        )

    @classmethod
    def tiny(cls) -> FlexAvatar:
        """For ablations: 128² texels from photos of 128²."""
        return replace(
            cls.small(),
            image_size=128,
            encoder=DinoConfig(64, 4, 2, frozen=False),
            width=96,
            heads=3,
            side=16,
            upsample=(32, 24, 16),
            unet=UNetConfig(8, 4),
        )

    @property
    def resolution(self) -> int:
        """R, texels per side."""
        return self.side * 2 ** len(self.upsample)

    @property
    def table(self) -> GaussianTable:
        """Gaussians start on the surface, raw scales at 0 as the paper says, which here is 5 mm (ours)."""
        if self.on_surface:
            return on_the_surface(self.color, reach=0.1)
        color = (0.0,) * (4 if self.color == "mix" else 3)
        return GaussianTable(
            offset_range=0.1,
            scale="blend",
            scales=(0.0002, 0.01),
            opacity_shift=0.0,
            color=self.color,
            gains=(0.0, 0.0, 0.1, 0.0, 1.0),
            biases=((0.0,) * 3, (0.0,) * 3, (1.0, 0.0, 0.0, 0.0), (0.0,), color),
        )


@dataclass(frozen=True)
class HeadTexels:
    """The M texels of one head that carry Gaussians, row by row.

    Attributes:
        valid: [R, R] bool. surface: [M, 3] metres, where they lie at rest.
        dynamic: [M] bool, which of them may change with the expression; see :func:`dynamic_texels`.
    """

    valid: torch.Tensor
    surface: torch.Tensor
    dynamic: torch.Tensor


@dataclass(frozen=True)
class StaticHead:
    """What the photos said, once for all frames.

    Attributes:
        identity: [B, I, R, R], for the dynamics.
        raw: per attribute [B, M, channels], before activation. colors: [B, M, 3] as observed, or None.
    """

    identity: torch.Tensor
    raw: dict[str, torch.Tensor]
    colors: torch.Tensor | None


class FlexAvatarNetwork(nn.Module):
    """``encode`` photos once to a static head, ``move`` it in every frame; the rig then skins the Gaussians."""

    def __init__(self, config: FlexAvatar):
        super().__init__()
        self.config, self.table = config, config.table
        width, fine = config.width, config.upsample[-1]
        self.encoder = Dino(config.encoder)
        self.fuse = TapFusion(config.encoder.width, len(config.taps), width)
        itself = BlockConfig(width, config.heads, qk_norm="layer_head")
        photos = BlockConfig(width, config.heads, qk_norm="layer_head", cross=True)
        self.photo_blocks = nn.ModuleList(Block(itself) for _ in range(config.self_blocks))
        self.queries = LearnedUVTokens(config.side, width)
        self.reading_blocks = nn.ModuleList(Block(photos) for _ in range(config.query_blocks))
        self.query_blocks = nn.ModuleList(Block(itself) for _ in range(config.query_blocks))
        self.upsample = Upsampler(width, config.upsample)
        painted = OBSERVED * (config.color == "mix")
        self.identity_head = nn.Conv2d(fine + painted, config.identity_width, 3, padding=1)
        self.static_head = nn.Sequential(nn.Conv2d(fine + painted, fine, 3, padding=1), nn.SiLU())
        self.heads = GaussianHeads(self.table, fine, color_width=painted)
        if not config.position_map:
            self.embed_motion = nn.Linear(config.motion_width, CODE_WIDTH)
        driving = 3 if config.position_map else CODE_WIDTH
        self.unet = UNet(config.identity_width + driving, sum(self.table.channels.values()), config.unet)

    def forward(
        self, images: torch.Tensor, texels: HeadTexels, driving: torch.Tensor, painted: torch.Tensor | None = None
    ) -> Splats:
        """Photos to Gaussians under one expression; see :meth:`encode` and :meth:`move`."""
        return self.move(self.encode(images, texels, painted), texels, driving)

    def encode(self, images: torch.Tensor, texels: HeadTexels, painted: torch.Tensor | None = None) -> StaticHead:
        """Photos to all that does not depend on the expression.

        Args:
            images: [B, V, 3, S, S], RGB 0..1, in any number and order, of any camera and expression.
            painted: [B, 4, R, R] the photos' colours on the UV map and how sure they are, 0..1; only for "mix".
        """
        taps = self.encoder(images.flatten(0, 1), self.config.taps)
        photos = self.fuse(taps).unflatten(0, images.shape[:2]).flatten(1, 2)  # [B, V · L, C]
        for block in self.photo_blocks:
            photos = block(photos)
        queries = self.queries(len(images))  # [B, side², C]
        for read, think in zip(self.reading_blocks, self.query_blocks, strict=True):
            queries = think(read(queries, photos))
        maps = self.upsample(queries, self.config.side)  # [B, fine, R, R]
        observed = colors = None
        if painted is not None:
            maps = torch.cat((maps, painted), dim=1)
            observed = painted[:, :, texels.valid].transpose(1, 2)  # [B, M, 4]
            colors = observed[..., :3]
        static = self.static_head(maps)[:, :, texels.valid].transpose(1, 2)  # [B, M, fine]
        return StaticHead(self.identity_head(maps), self.heads(static, observed), colors)

    def move(self, head: StaticHead, texels: HeadTexels, driving: torch.Tensor) -> Splats:
        """One frame: G = static + M_dyn ⊙ UNet(identity, driving), on raw outputs (ours), then activated.

        Args:
            driving: [B, 3, R, R] metres, where each texel lies on the mesh under the expression, before skinning,
                0 at empty texels; for ``position_map`` False a motion code [B, E].

        Returns:
            Splats with fields [B, M, ...] in the rest pose, colours in 0..1.
        """
        if self.config.position_map:
            maps = driving / POSITION_UNIT
        else:
            maps = self.embed_motion(driving)[:, :, None, None].expand(-1, -1, *head.identity.shape[-2:])
        change = self.unet(torch.cat((head.identity, maps), dim=1))[:, :, texels.valid].transpose(1, 2)
        change = self.table.split(torch.where(texels.dynamic[:, None], change, 0))
        raw = {name: each + change[name] for name, each in head.raw.items()}
        return activate(self.table, raw, texels.surface, head.colors)

    def static(self, head: StaticHead, texels: HeadTexels) -> Splats:
        """The Gaussians without dynamics, fields [B, M, ...]."""
        return activate(self.table, head.raw, texels.surface, head.colors)

    def reconstruction_parameters(self) -> Iterator[nn.Parameter]:
        """What the 10-second refinement may change (arXiv 2512.17717): all but the UNet, and nothing frozen."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and not name.startswith(("unet.", "embed_motion.")):
                yield parameter


def dynamic_texels(masks: dict[str, np.ndarray], regions: tuple[str, ...], valid: np.ndarray) -> torch.Tensor:
    """[M] bool: the valid texels in any of the regions.

    Args:
        masks: name -> [R, R] bool, as :func:`engine.heads.atlas.region_masks` gives them. valid: [R, R] bool.
    """
    inside = np.zeros_like(valid)
    for name in regions:
        inside |= masks[name]
    return torch.from_numpy(inside[valid])
