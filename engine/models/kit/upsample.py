"""Tokens on a grid to a finer map by convolutions: the pixel upsampler and the trunk of convolutional heads."""

from __future__ import annotations

import torch
from torch import nn


class Upsampler(nn.Module):
    """Pixel shuffle, twice as fine per stage (ours, in the manner of GRM, arXiv 2403.14621).

    Args:
        width: channels of the tokens.
        widths: channels after each stage; their number decides the enlargement, 2^stages.
    """

    def __init__(self, width: int, widths: tuple[int, ...]):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-5)
        stages: list[nn.Module] = []
        for before, after in zip((width, *widths[:-1]), widths, strict=True):
            # 1 × 1 before the shuffle and 3 × 3 after it: neighbours meet on the fine map, where it is narrow
            stages += [nn.Conv2d(before, 4 * after, 1), nn.PixelShuffle(2), nn.SiLU()]
            stages += [nn.Conv2d(after, after, 3, padding=1), nn.SiLU()]
        self.stages = nn.Sequential(*stages)

    def forward(self, tokens: torch.Tensor, rows: int) -> torch.Tensor:
        """[N, h · w, width] with ``rows`` = h to [N, widths[-1], 2^stages h, 2^stages w]."""
        return self.stages(self.norm(tokens).transpose(1, 2).unflatten(2, (rows, -1)))
