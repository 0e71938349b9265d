"""UIKA (arXiv 2601.07603): photos without cameras to canonical Gaussians, through a learned correspondence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from engine.gaussians.gaussians import Splats
from engine.models.kit.activation import GaussianHeads, GaussianTable, activate, on_the_surface
from engine.models.kit.blocks import JointBlock
from engine.models.kit.correspondence import Correspondence
from engine.models.kit.dpt import DPT, DPTConfig
from engine.models.kit.encoders import VIT_L16, Dino, DinoConfig, TapFusion
from engine.models.kit.reproject import aggregate, per_view_textures
from engine.models.kit.tokens import LearnedUVTokens
from engine.models.kit.uv_estimator import UVEstimatorConfig

DEPTHS = 4  # of tokens that the decoder sees
GUIDE = 4  # channels of the aggregated texture: colour and confidence


@dataclass(frozen=True)
class UIKA:
    """The method's choices.

    Attributes:
        image_size: px per side of the photos, and texels per side of each photo's own texture.
        encoder: DINOv3's; one for photos and textures. taps: its blocks that are read out, four of them.
        width: channels of a token. heads: per attention. depth: blocks, a multiple of four.
        side: UV tokens per side; the Gaussian map has 4 × side texels per side.
        dpt_widths, dpt_width, map_width: of the decoder. mlp_width, feature_width: of the layers at each texel.
        estimator: of the UV estimator that goes with it.
        uv_attention: False leaves the textures' context out (the paper's ablation).
        aggregation: False leaves the aggregated texture out of decoder and colour (the paper's ablation).
        on_surface: Gaussians start as those of the ``surface`` system, see
            :func:`engine.models.kit.activation.on_the_surface` (ours: for short trainings).
    """

    image_size: int
    encoder: DinoConfig
    taps: tuple[int, int, int, int]
    width: int
    heads: int
    depth: int
    side: int
    dpt_widths: tuple[int, int, int, int]
    dpt_width: int
    map_width: int
    mlp_width: int
    feature_width: int
    estimator: UVEstimatorConfig
    uv_attention: bool = True
    aggregation: bool = True
    on_surface: bool = False

    @classmethod
    def paper(cls) -> UIKA:
        """The released configuration (arXiv 2601.07603)."""
        return cls(
            image_size=512,
            encoder=VIT_L16,
            taps=(4, 11, 17, 23),
            width=1024,
            heads=16,
            depth=12,
            side=96,
            dpt_widths=(256, 512, 1024, 1024),
            dpt_width=256,
            map_width=256,
            mlp_width=512,
            feature_width=512,
            estimator=UVEstimatorConfig.paper(),
        )

    @classmethod
    def small(cls) -> UIKA:
        """Ours: 192² texels from photos of 256²; the encoder is trained along, from nothing."""
        return cls(
            image_size=256,
            encoder=DinoConfig(128, 4, 4, frozen=False),
            taps=(0, 1, 2, 3),
            width=128,
            heads=4,
            depth=4,
            side=48,
            dpt_widths=(32, 48, 64, 64),
            dpt_width=40,
            map_width=64,
            mlp_width=64,
            feature_width=64,
            estimator=UVEstimatorConfig.small(),
            on_surface=True,
        )

    @classmethod
    def tiny(cls) -> UIKA:
        """For ablations: 128² texels from photos of 128²."""
        return replace(
            cls.small(),
            image_size=128,
            encoder=DinoConfig(64, 4, 2, frozen=False),
            width=64,
            heads=2,
            side=32,
            dpt_widths=(16, 24, 32, 32),
            dpt_width=24,
            map_width=32,
        )

    @property
    def resolution(self) -> int:
        """R, texels per side of the Gaussian map."""
        return 4 * self.side

    @property
    def table(self) -> GaussianTable:
        """Offsets start at 0, opacities at 0.1, scales at 6.7 mm; the small weights there are ours (arXiv 2601.07603,
        UV decoder)."""
        if self.on_surface:
            return on_the_surface("mix" if self.aggregation else "direct", reach=0.1)
        color = (0.0,) * (4 if self.aggregation else 3)
        return GaussianTable(
            offset_range=0.1,
            scale="exp",
            scales=(0.0, 0.01),
            opacity_shift=0.0,
            color="mix" if self.aggregation else "direct",
            gains=(0.0, 0.1, 0.1, 0.1, 1.0),
            biases=((0.0,) * 3, (-5.0,) * 3, (1.0, 0.0, 0.0, 0.0), (math.log(0.1 / 0.9),), color),
        )


class UIKANetwork(nn.Module):
    """Tokens on the UV map read photos and the photos' textures side by side; a DPT makes them a map of Gaussians."""

    def __init__(self, config: UIKA):
        super().__init__()
        self.config, self.table = config, config.table
        width, contexts = config.width, 1 + config.uv_attention
        guide = GUIDE if config.aggregation else 0
        self.encoder = Dino(config.encoder)
        self.fusions = nn.ModuleList(TapFusion(config.encoder.width, len(config.taps), width) for _ in range(contexts))
        self.projects = nn.ModuleList(nn.Linear(width, width) for _ in range(contexts))
        self.tokens = LearnedUVTokens(config.side, width)
        self.blocks = nn.ModuleList(
            JointBlock(width, config.heads, contexts, updates_contexts=block < config.depth - 1)
            for block in range(config.depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(DEPTHS))
        self.dpt = DPT(DPTConfig(width, config.dpt_widths, config.dpt_width, guide=guide))
        self.map_head = nn.Sequential(
            nn.Conv2d(config.dpt_width + guide, config.dpt_width, 3, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(config.dpt_width, config.map_width, 3, padding=1),
        )
        self.mlp = nn.Sequential(
            nn.Linear(config.map_width, config.mlp_width),
            nn.SiLU(),
            nn.Linear(config.mlp_width, config.mlp_width),
            nn.SiLU(),
            nn.Linear(config.mlp_width, config.feature_width),
        )
        self.heads = GaussianHeads(self.table, config.feature_width, color_width=guide)

    def forward(
        self,
        images: torch.Tensor,
        where: Correspondence,
        texels: torch.Tensor,
        surface: torch.Tensor,
        painted: torch.Tensor | None = None,
    ) -> Splats:
        """Photos to Gaussians at rest.

        Args:
            images: [B, V, 3, S, S] RGB 0..1 on any background; S = ``image_size`` as trained, any multiple of 16 works.
            where: the photos' correspondence; its mask says which pixels make textures.
            texels: [R, R] bool, M of which carry a Gaussian.
            surface: [M, 3] metres, where those texels lie on the head without identity or expression, row by row.
            painted: [B, 4, R, R] colour and confidence 0..1 instead of the aggregated texture (ours); None: aggregate.

        Returns:
            Splats with fields [B, M, ...], colours in 0..1.
        """
        textures = per_view_textures(images, where.mask, where.uv, images.shape[-1])
        contexts = [self.encode(images, 0)]
        if self.config.uv_attention:
            contexts.append(self.encode(textures, 1))
        depths = self.attend(contexts)
        if painted is None:
            painted = aggregate(images, where.mask, where.uv, self.config.resolution)
        return self.decode(depths, painted, texels, surface)

    def encode(self, images: torch.Tensor, context: int) -> torch.Tensor:
        """[B, V, 3, S, S] to one context [B, V · L, C]; views follow each other, without any mark of which is which."""
        taps = self.encoder(images.flatten(0, 1), self.config.taps)
        tokens = self.projects[context](self.fusions[context](taps))  # [B·V, L, C]
        return tokens.unflatten(0, images.shape[:2]).flatten(1, 2)

    def attend(self, contexts: list[torch.Tensor]) -> list[torch.Tensor]:
        """Contexts [B, N, C] to the UV tokens [B, side², C] after each quarter of the blocks."""
        x = self.tokens(len(contexts[0]))
        depths, quarter = [], self.config.depth // DEPTHS
        for number, block in enumerate(self.blocks, 1):
            x, contexts = block(x, contexts)
            if number % quarter == 0:
                depths.append(self.norms[len(depths)](x))
        return depths

    def decode(
        self, depths: list[torch.Tensor], texture: torch.Tensor, texels: torch.Tensor, surface: torch.Tensor
    ) -> Splats:
        """UV tokens of four depths and the aggregated texture [B, 4, R, R] to Gaussians [B, M, ...]."""
        guide = texture if self.config.aggregation else None
        fine = self.dpt(depths, self.config.side, guide=guide)  # [B, C, R, R]
        observed = None
        if guide is not None:
            fine = torch.cat((fine, guide), dim=1)
            observed = guide[:, :, texels].transpose(1, 2)  # [B, M, 4]
        features = self.mlp(self.map_head(fine)[:, :, texels].transpose(1, 2))  # [B, M, F]
        raw = self.heads(features, observed)
        return activate(self.table, raw, surface, None if observed is None else observed[..., :3])
