"""Avat3r (arXiv 2502.20220): posed photos with position maps to one Gaussian per pixel, moved by attention alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from engine.gaussians.gaussians import Splats
from engine.models.kit.activation import GaussianHeads, GaussianTable, activate, on_the_surface
from engine.models.kit.blocks import Block, BlockConfig, across_views
from engine.models.kit.conditions import MOTION, VectorTokens
from engine.models.kit.encoders import PatchEmbedding, pluecker_rays
from engine.models.kit.upsample import Upsampler

POSITION_UNIT = 0.1  # metres that are 1 to the network, so that positions weigh as much as colours (ours)


@dataclass(frozen=True)
class Avat3r:
    """The method's choices.

    Attributes:
        image_size: px per side of the photos.
        patch: px per side of a token, 2 to the number of ``upsample`` widths.
        width: channels of a token. heads: per attention.
        self_blocks: in which all tokens of all photos look at each other. cross_blocks: in which every token looks at
            the expression.
        motion_width: numbers of a motion code. motion_hidden: of its MLP. motion_tokens: that come out.
        upsample: channels on the way from tokens to pixels.
        feature_width: channels of a pretrained encoder's features beside each token (Sapiens-2B in the paper); 0 to
            go without.
        confidence: τ; pixels at which the position map is less sure, on a scale of 0..1, get no Gaussian. (DUSt3R's
            own scale begins at 1, so what the paper's 0.5 measures is unknown; ours: 1 - 1 / DUSt3R's, or a matte.)
        position_skip: Gaussians start at the position map; else anywhere within ``reach`` (the paper's ablation).
        color_skip: colours start at the pixel's (the paper's ablation).
        reach: metres; positions, or corrections to the map, stay within ± this (ours).
        on_surface: Gaussians start as those of the ``surface`` system, see
            :func:`engine.models.kit.activation.on_the_surface` (ours: for short trainings).
        unseen: texels per side of the UV map of learned features from which skin that no photo shows gets its
            Gaussians (ours: the paper gives its network photos from all sides).
    """

    image_size: int
    patch: int
    width: int
    heads: int
    self_blocks: int
    cross_blocks: int
    motion_width: int
    motion_hidden: tuple[int, ...]
    motion_tokens: int
    upsample: tuple[int, ...]
    feature_width: int
    confidence: float = 0.5
    position_skip: bool = True
    color_skip: bool = True
    reach: float = 0.3
    on_surface: bool = False
    unseen: int = 32

    @classmethod
    def paper(cls) -> Avat3r:
        """8 + 8 blocks and 4 expression tokens are the paper's; patch, width, heads and upsampler are ours."""
        return cls(
            image_size=512,
            patch=8,
            width=768,
            heads=12,
            self_blocks=8,
            cross_blocks=8,
            motion_width=256,
            motion_hidden=(256, 256),
            motion_tokens=4,
            upsample=(256, 128, 64),
            feature_width=1920,
        )

    @classmethod
    def small(cls) -> Avat3r:
        """Ours: photos of 256², no pretrained encoder."""
        return cls(
            image_size=256,
            patch=8,
            width=192,
            heads=6,
            self_blocks=5,
            cross_blocks=4,
            motion_width=MOTION,
            motion_hidden=(64, 64),
            motion_tokens=4,
            upsample=(64, 32, 24),
            feature_width=0,
            on_surface=True,
        )

    @classmethod
    def tiny(cls) -> Avat3r:
        """For ablations: photos of 128²."""
        narrow = replace(cls.small(), width=96, heads=3, upsample=(32, 24, 16))
        return replace(narrow, image_size=128, self_blocks=2, cross_blocks=2)

    @property
    def table(self) -> GaussianTable:
        """Ours: with the skips Gaussians start on the photos' pixels; 2 mm wide, opacity 0.1 + what is learned."""
        if self.on_surface:
            return on_the_surface("skip" if self.color_skip else "direct", self.reach)
        return GaussianTable(
            offset_range=self.reach,
            scale="blend",
            scales=(0.0002, 0.01),
            opacity_shift=0.0,
            color="skip" if self.color_skip else "direct",
            gains=(0.0, 0.0, 0.1, 0.0, 0.0),
            biases=((0.0,) * 3, (1.5,) * 3, (1.0, 0.0, 0.0, 0.0), (0.0,), (0.0,) * 3),
        )


@dataclass(frozen=True)
class PositionedViews:
    """B people in V photos of H × W; each photo may show another expression.

    Attributes:
        images: [B, V, 3, H, W] RGB 0..1.
        positions: [B, V, 3, H, W] metres in the head's space, what each pixel shows (DUSt3R in the paper; here also a
            raster of the tracked mesh); 0 where unknown.
        confidence: [B, V, H, W] 0..1, how sure that is.
        viewmats: [B, V, 4, 4] head to camera. Ks: [B, V, 3, 3] pixels.
        features: [B, V, F, H/p, W/p] of a pretrained encoder, or None.
    """

    images: torch.Tensor
    positions: torch.Tensor
    confidence: torch.Tensor
    viewmats: torch.Tensor
    Ks: torch.Tensor
    features: torch.Tensor | None = None


@dataclass(frozen=True)
class Avat3rCache:
    """All that does not depend on the expression.

    Attributes:
        tokens: [B, V, L, C].
        positions, colors: [B, N, 3] of the N = V · H · W pixels, photo after photo, row by row. rows: of the tokens.
        keep: [B, N] bool, the pixels that get a Gaussian.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    colors: torch.Tensor
    keep: torch.Tensor
    rows: int


class Avat3rNetwork(nn.Module):
    """``encode`` photos once, ``decode`` every expression."""

    def __init__(self, config: Avat3r):
        super().__init__()
        self.config, self.table = config, config.table
        width = config.width
        self.embed = PatchEmbedding((3, 3, 6), config.patch, width)
        if config.feature_width:
            self.embed_features = nn.Linear(width + config.feature_width, width)
        itself = BlockConfig(width, config.heads, qk_norm="layer_head")
        expression = BlockConfig(width, config.heads, qk_norm="layer_head", cross=True)
        self.self_blocks = nn.ModuleList(Block(itself) for _ in range(config.self_blocks))
        self.motion_tokens = VectorTokens(config.motion_width, config.motion_hidden, config.motion_tokens, width)
        self.cross_blocks = nn.ModuleList(Block(expression) for _ in range(config.cross_blocks))
        self.upsample = Upsampler(width, config.upsample)
        self.heads = GaussianHeads(self.table, config.upsample[-1])
        self.unseen = _Unseen(self.table, width, config.upsample[-1], config.unseen)

    def forward(self, views: PositionedViews, motion: torch.Tensor) -> Splats:
        """Photos to Gaussians under one motion code [B, E]."""
        return self.decode(self.encode(views), motion)

    def encode(self, views: PositionedViews) -> Avat3rCache:
        """The expression-independent half."""
        height, width = views.images.shape[-2:]
        rays = pluecker_rays(views.viewmats, views.Ks, height, width)
        x = self.embed(2 * views.images - 1, views.positions / POSITION_UNIT, rays)  # [B, V, L, C]
        if views.features is not None:
            features = views.features.flatten(-2).transpose(-2, -1)  # [B, V, L, F]
            x = self.embed_features(torch.cat((x, features), dim=-1))
        for block in self.self_blocks:
            assert isinstance(block, Block)
            x = across_views(block, x)
        positions, colors = (_pixels(each) for each in (views.positions, views.images))
        keep = views.confidence.flatten(1) > self.config.confidence
        return Avat3rCache(x, positions, colors, keep, height // self.config.patch)

    def decode(self, cache: Avat3rCache, motion: torch.Tensor) -> Splats:
        """Gaussians under a motion code [B, E].

        Returns:
            Splats with fields [B, N, ...] in the head's space; colours may leave 0..1 a little. Only those that
            ``cache.keep`` says mean anything.
        """
        expression = self.motion_tokens(motion)  # [B, S, C]
        x = cache.tokens.flatten(1, 2)  # every token looks at the expression only: views need no telling apart
        for block in self.cross_blocks:
            x = block(x, expression)
        tokens = x.view_as(cache.tokens).flatten(0, 1)  # [B · V, L, C]
        maps = self.upsample(tokens, cache.rows).unflatten(0, cache.tokens.shape[:2])  # [B, V, F, H, W]
        anchors = cache.positions if self.config.position_skip else torch.zeros_like(cache.positions)
        return activate(self.table, self.heads(_pixels(maps)), anchors, cache.colors)

    def guess(self, cache: Avat3rCache, uv: torch.Tensor, anchors: torch.Tensor, colors: torch.Tensor) -> Splats:
        """Gaussians for N points of the skin that no photo shows: of what people have in common there, and of the
        person as a whole.

        Args:
            uv: [N, 2] where the points lie on the UV map, -1..1, v down. anchors: [B, N, 3] metres. colors: [B, N, 3].
        """
        return activate(self.table, self.unseen(cache.tokens, uv), anchors, colors)


class _Unseen(nn.Module):
    """Raw outputs at points of the UV map, from a learned map and the mean of a person's tokens."""

    def __init__(self, table: GaussianTable, width: int, features: int, resolution: int):
        super().__init__()
        self.map = nn.Parameter(torch.zeros(features, resolution, resolution))
        self.person = nn.Linear(width, features)
        nn.init.zeros_(self.person.weight)
        nn.init.zeros_(self.person.bias)
        # features start at 0, so that these may be large: what they learn is far from where they start
        self.heads = GaussianHeads(replace(table, gains=(0.02, 1.0, 1.0, 1.0, 1.0)), features)

    def forward(self, tokens: torch.Tensor, uv: torch.Tensor) -> dict[str, torch.Tensor]:
        """Tokens [B, V, L, C] and places [N, 2] to raw outputs [B, N, ...]."""
        common = functional.grid_sample(self.map[None], uv[None, None], padding_mode="border", align_corners=False)
        return self.heads(common[0, :, 0].T + self.person(tokens.mean(dim=(1, 2)))[:, None])


def _pixels(maps: torch.Tensor) -> torch.Tensor:
    """[B, V, C, H, W] to [B, V · H · W, C]."""
    return maps.movedim(2, -1).flatten(1, 3)
