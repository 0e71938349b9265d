"""MATCH (arXiv 2603.15811): calibrated photos and a coarse mesh to one registered texture of Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from engine.gaussians.gaussians import Splats
from engine.models.kit.activation import GaussianHeads, GaussianTable, activate, on_the_surface
from engine.models.kit.attention import Neighbours
from engine.models.kit.backprojection import backproject
from engine.models.kit.blocks import Block, BlockConfig, per_view, registered
from engine.models.kit.correspondence import Correspondence
from engine.models.kit.encoders import PatchEmbedding, patchify, pluecker_rays, unpatchify
from engine.models.kit.registration import RegistrationConfig, register

BACKGROUND = 1.0  # white


@dataclass(frozen=True)
class MATCH:
    """The method's choices.

    Attributes:
        registration: UV tokens, image patches, neighbours per UV token.
        width: channels of a token. heads: per attention.
        pairs: of a registration-guided block and a grouped block.
        feature_width: channels of a pretrained encoder's features beside each image patch (Sapiens-1B in the paper);
            0 to go without.
        image_size: px per side of the photos, a multiple of the image patch (ours: the paper's are 640 × 512).
        guided: False replaces the registration by dense attention among all tokens (the paper's ablation).
        color: "skip" starts from the photos' back-projected colour, "direct" does not (the paper's ablation).
        on_surface: Gaussians start as those of the ``surface`` system, see
            :func:`engine.models.kit.activation.on_the_surface` (ours: for short trainings).
    """

    registration: RegistrationConfig
    width: int
    heads: int
    pairs: int
    feature_width: int
    image_size: int = 512
    guided: bool = True
    color: Literal["skip", "direct"] = "skip"
    on_surface: bool = False

    @classmethod
    def paper(cls, resolution: int = 1024) -> MATCH:
        """The released configurations: 64 × 64 UV tokens of ``resolution`` 1024 or 512 (arXiv 2603.15811)."""
        return cls(RegistrationConfig(resolution, resolution // 64, 8, count=100), 512, 8, pairs=6, feature_width=1536)

    @classmethod
    def small(cls) -> MATCH:
        """Ours: 256² texels from photos of 256², no pretrained encoder."""
        registration = RegistrationConfig(256, 8, 8, count=32, precision=torch.float32)
        return cls(registration, 192, 6, pairs=3, feature_width=0, image_size=256, on_surface=True)

    @classmethod
    def tiny(cls) -> MATCH:
        """For ablations: 128² texels from photos of 128²."""
        registration = RegistrationConfig(128, 8, 8, count=16, precision=torch.float32)
        return cls(registration, 96, 3, pairs=2, feature_width=0, image_size=128, on_surface=True)

    @property
    def table(self) -> GaussianTable:
        """arXiv 2603.15811, heads. Scales start at 10 mm, opacities at 0.12."""
        if self.on_surface:
            return on_the_surface(self.color, reach=0.1)
        return GaussianTable(
            offset_range=1.0,
            scale="blend",
            scales=(0.0005, 0.02),
            opacity_shift=-2.0,
            color=self.color,
            gains=(0.07, 0.0, 1.0, 0.0, 1.0),
        )


@dataclass(frozen=True)
class MatchViews:
    """B people in V calibrated photos of H × W, both multiples of 8, at one instant.

    Attributes:
        images: [B, V, 3, H, W] RGB 0..1. masks: [B, V, 1, H, W] mattes.
        viewmats: [B, V, 4, 4] world to camera. Ks: [B, V, 3, 3] pixels.
        correspondence: a raster of the coarse mesh.
        features: [B, V, F, H/8, W/8] of a pretrained encoder, or None.
        painted: [B, R, R, 3] colours instead of the back-projected ones (ours); None: back-project.
    """

    images: torch.Tensor
    masks: torch.Tensor
    viewmats: torch.Tensor
    Ks: torch.Tensor
    correspondence: Correspondence
    features: torch.Tensor | None = None
    painted: torch.Tensor | None = None


@dataclass(frozen=True)
class MatchTexture:
    """The network's answer, in the posed space of the photos.

    Attributes:
        splats: [B, R, R, ...], one Gaussian per texel; colours may leave 0..1 a little. Only those at texels of the
            mesh mean anything.
        observed: [B, R, R, 3], the photos' back-projected colour.
        neighbours: which image tokens each UV token looked at.
    """

    splats: Splats
    observed: torch.Tensor
    neighbours: Neighbours


class MatchNetwork(nn.Module):
    """Image and UV patch tokens; registration-guided and grouped attention in turn; a linear way back to texels."""

    def __init__(self, config: MATCH):
        super().__init__()
        self.config, self.table = config, config.table
        width, where = config.width, config.registration
        self.embed_image = PatchEmbedding((3, 6), where.image_patch, width)
        if config.feature_width:
            self.embed_features = nn.Linear(width + config.feature_width, width)
        self.uv_tokens = nn.Parameter(torch.randn(where.side**2, width))
        self.embed_uv = PatchEmbedding((6,), where.uv_patch, width, extra=width)
        block = BlockConfig(width, config.heads, style="llama", qk_norm="layer_full")
        self.registration_blocks = nn.ModuleList(Block(block) for _ in range(config.pairs))
        self.grouped_blocks = nn.ModuleList(Block(block) for _ in range(config.pairs))
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.heads = GaussianHeads(self.table, width, count=where.uv_patch**2)

    def forward(self, views: MatchViews, positions: torch.Tensor) -> MatchTexture:
        """Photos and the coarse mesh's position map [B, R, R, 3] (metres, 0 at empty texels) to Gaussians."""
        images = views.images * views.masks + BACKGROUND * (1 - views.masks)
        neighbours = register(views.correspondence.uv, views.correspondence.mask, self.config.registration)
        return self.textured(views, images, positions, neighbours)

    def textured(
        self, views: MatchViews, images: torch.Tensor, positions: torch.Tensor, neighbours: Neighbours
    ) -> MatchTexture:
        """The rest of :meth:`forward`, from photos on their background and a registration."""
        observed = self.observe(views, images, positions, neighbours) if views.painted is None else views.painted
        uv = self.embed_uv_tokens(positions, observed)
        uv = self.attend(uv, self.embed_images(views, images), neighbours)
        splats = self.decode(uv, positions, observed)
        return MatchTexture(splats, observed, neighbours)

    def observe(
        self, views: MatchViews, images: torch.Tensor, positions: torch.Tensor, neighbours: Neighbours
    ) -> torch.Tensor:
        """[B, R, R, 3]: the photos' colour at every texel."""
        where = self.config.registration
        texels = patchify(positions.movedim(-1, 1), where.uv_patch).unflatten(-1, (-1, 3))  # [B, T, P², 3]
        colors = backproject(images, views.viewmats, views.Ks, texels, neighbours)
        return unpatchify(colors.flatten(-2), where.side, where.uv_patch)

    def embed_images(self, views: MatchViews, images: torch.Tensor) -> torch.Tensor:
        """[B, V, L, C] image tokens from colours, rays and, where there are any, features."""
        rays = pluecker_rays(views.viewmats, views.Ks, images.shape[-2], images.shape[-1])
        tokens = self.embed_image(2 * images - 1, rays)
        if views.features is None:
            return tokens
        features = views.features.flatten(-2).transpose(-2, -1)  # [B, V, L, F]
        return self.embed_features(torch.cat((tokens, features), dim=-1))

    def embed_uv_tokens(self, positions: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
        """[B, T, C] UV tokens from position map, colours and what the network knows of each place."""
        known = self.uv_tokens.expand(len(positions), -1, -1)
        return self.embed_uv(torch.cat((positions, observed), dim=-1).movedim(-1, 1), extra=known)

    def attend(self, uv: torch.Tensor, images: torch.Tensor, neighbours: Neighbours) -> torch.Tensor:
        """[B, T, C] and [B, V, L, C] to the final UV tokens. After the last exchange images are not looked at again."""
        for pair, (guided, grouped) in enumerate(zip(self.registration_blocks, self.grouped_blocks, strict=True)):
            assert isinstance(guided, Block) and isinstance(grouped, Block)
            if self.config.guided:
                uv, images = registered(guided, uv, images, neighbours)
            else:
                everything = guided(torch.cat((uv, images.flatten(1, 2)), dim=1))
                uv, images = everything[:, : uv.shape[1]], everything[:, uv.shape[1] :].view_as(images)
            uv = grouped(uv)
            if pair < self.config.pairs - 1:
                images = per_view(grouped, images)
        return uv

    def decode(self, uv: torch.Tensor, positions: torch.Tensor, observed: torch.Tensor) -> Splats:
        """[B, T, C] to Gaussians [B, R, R, ...]."""
        where = self.config.registration
        raw = self.heads(self.norm(uv))
        maps = {name: unpatchify(tokens, where.side, where.uv_patch) for name, tokens in raw.items()}
        return activate(self.table, maps, positions, observed)


def read_mesh(means: torch.Tensor, uv: torch.Tensor, uv_faces: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """The registered mesh in a texture of positions: looked up at every corner's uv, averaged per vertex.

    Args:
        means: [B, R, R, 3] metres. uv: [T, 2], v up. uv_faces: [F, 3] into ``uv``. faces: [F, 3] into V vertices.

    Returns:
        [B, V, 3]; a vertex without faces is not a number.
    """
    corners = 2 * uv[uv_faces.flatten()] - 1  # [3 F, 2]
    grid = torch.stack((corners[:, 0], -corners[:, 1]), dim=-1).expand(len(means), 1, -1, -1)
    sampled = functional.grid_sample(
        means.movedim(-1, 1), grid, padding_mode="border", align_corners=True
    )  # [B, 3, 1, 3 F]
    values, vertex = sampled[:, :, 0].transpose(1, 2), faces.flatten().long()
    count = int(vertex.max()) + 1
    sums = values.new_zeros(len(means), count, 3).index_add(1, vertex, values)
    return sums / torch.bincount(vertex, minlength=count)[:, None]
