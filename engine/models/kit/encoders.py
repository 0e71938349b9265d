"""What turns pictures into tokens: DINOv3 with taps, patches of raw maps, rays as pictures, and the fusion of taps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from engine.models.kit.dino import VisionTransformer

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which DINOv3 was trained with
REGISTERS = 4
PATCH = 16  # px


@dataclass(frozen=True)
class DinoConfig:
    """Size of a DINOv3 vision transformer (arXiv 2508.10104).

    Attributes:
        width: channels. depth: blocks. heads: of each block.
        frozen: never trained, always in evaluation mode; in training mode the patches' places vary.
    """

    width: int
    depth: int
    heads: int
    frozen: bool = True


VIT_S16 = DinoConfig(384, 12, 6)
VIT_B16 = DinoConfig(768, 12, 12)
VIT_L16 = DinoConfig(1024, 24, 16)


class Dino(nn.Module):
    """DINOv3, read out after chosen blocks."""

    def __init__(self, config: DinoConfig):
        super().__init__()
        self.config = config
        self.vit = VisionTransformer(config.width, config.depth, config.heads, PATCH, REGISTERS)
        if config.frozen:
            self.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Dino:
        return super().train(mode and not self.config.frozen)

    def forward(self, images: torch.Tensor, taps: tuple[int, ...] | None = None) -> list[torch.Tensor]:
        """Patch tokens after each tapped block, through the final norm.

        Args:
            images: [N, 3, H, W] RGB 0..1, H and W multiples of 16.
            taps: block numbers, ascending; the last block by default.

        Returns:
            One [N, H/16 · W/16, C] per tap, row by row.
        """
        taps = taps or (self.config.depth - 1,)
        shift, scale = (images.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.frozen):
            return self.vit((images - shift) / scale, taps)


class TapFusion(nn.Module):
    """Several taps of an encoder to one set of tokens: a linear map each, side by side, and one more
    (arXiv 2601.07603, encoders)."""

    def __init__(self, width: int, taps: int, out_width: int):
        super().__init__()
        self.projects = nn.ModuleList(nn.Linear(width, width) for _ in range(taps))
        self.out = nn.Linear(taps * width, out_width)

    def forward(self, taps: list[torch.Tensor]) -> torch.Tensor:
        """Taps, each [N, L, C], to [N, L, out_width]."""
        projected = (project(tap) for project, tap in zip(self.projects, taps, strict=True))
        return self.out(torch.cat(list(projected), dim=-1))


def patchify(maps: torch.Tensor, patch: int) -> torch.Tensor:
    """[..., C, H, W] to patch vectors [..., H/p · W/p, p · p · C]: patches row by row, in them pixels row by row."""
    blocks = maps.unflatten(-1, (-1, patch)).unflatten(-3, (-1, patch))  # [..., C, h, p, w, p]
    return blocks.movedim((-4, -2, -3, -1, -5), (-5, -4, -3, -2, -1)).flatten(-3).flatten(-3, -2)


def unpatchify(vectors: torch.Tensor, rows: int, patch: int) -> torch.Tensor:
    """The inverse: [..., h · w, p · p · C] with ``rows`` = h to [..., H, W, C], channels last."""
    blocks = vectors.unflatten(-1, (patch, patch, -1)).unflatten(-4, (rows, -1))  # [..., h, w, p, p, C]
    return blocks.transpose(-4, -3).flatten(-3, -2).flatten(-4, -3)


class PatchEmbedding(nn.Module):
    """Raw maps to tokens: each map cut into patches, the vectors side by side, one linear map.

    Args:
        channels: of each map.
        patch: px.
        extra: channels of a vector per token that goes in beside the patches.
    """

    def __init__(self, channels: tuple[int, ...], patch: int, width: int, extra: int = 0):
        super().__init__()
        self.patch = patch
        self.linear = nn.Linear(sum(channels) * patch * patch + extra, width)

    def forward(self, *maps: torch.Tensor, extra: torch.Tensor | None = None) -> torch.Tensor:
        """Maps [..., C, H, W] (and extra [..., h · w, E]) to [..., h · w, width]."""
        parts = [patchify(each, self.patch) for each in maps]
        return self.linear(torch.cat(parts if extra is None else [*parts, extra], dim=-1))


def pluecker_rays(viewmats: torch.Tensor, Ks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The ray through every pixel's centre as six channels: moment o × d, then unit direction d, in the world.

    Args:
        viewmats: [..., 4, 4] world to camera, OpenCV. Ks: [..., 3, 3] pixels.

    Returns:
        [..., 6, height, width]; the first three in metres.
    """
    options = {"dtype": viewmats.dtype, "device": viewmats.device}
    y, x = torch.meshgrid(
        torch.arange(height, **options) + 0.5, torch.arange(width, **options) + 0.5, indexing="ij"
    )  # fmt: skip
    pixels = torch.stack((x, y, torch.ones_like(x)), dim=0).flatten(1)  # [3, H·W]
    rotation, translation = viewmats[..., :3, :3], viewmats[..., :3, 3:]
    to_world = rotation.transpose(-2, -1)
    directions = functional.normalize(to_world @ torch.linalg.inv(Ks) @ pixels, dim=-2)
    origins = (-to_world @ translation).expand_as(directions)
    moments = torch.linalg.cross(origins, directions, dim=-2)
    return torch.cat((moments, directions), dim=-2).unflatten(-1, (height, width))
