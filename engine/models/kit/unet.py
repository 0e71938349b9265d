"""A UNet on UV maps: from who someone is and where the mesh goes to how the Gaussians change (arXiv 2512.17717)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

GROUPS = 8  # of the group norms


@dataclass(frozen=True)
class UNetConfig:
    """Sizes; all ours, for the paper gives none (arXiv 2512.17717, dynamic decoding).

    Attributes:
        base: channels at full size, doubled at each level; a multiple of 8.
        levels: sizes, each half of the one before. Maps are multiples of 2^(levels - 1) texels.
    """

    base: int
    levels: int


class UNet(nn.Module):
    """Two convolutions per level, down and up again, with skips; the last layer starts at zero."""

    def __init__(self, in_width: int, out_width: int, config: UNetConfig):
        super().__init__()
        widths = [config.base * 2**level for level in range(config.levels)]
        pairs = list(zip(widths, widths[1:], strict=False))
        self.enter = _Convolutions(in_width, widths[0])
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.inner = nn.ModuleList(_Convolutions(coarse, coarse) for _, coarse in pairs)
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.outer = nn.ModuleList(_Convolutions(2 * fine, fine) for fine, _ in pairs)
        self.out = nn.Conv2d(widths[0], out_width, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """[B, in_width, R, R] to [B, out_width, R, R]."""
        x = self.enter(maps.contiguous(memory_format=torch.channels_last))  # a sixth faster on a CPU
        skips = []
        for shrink, convolve in zip(self.down, self.inner, strict=True):
            skips.append(x)
            x = convolve(shrink(x))
        for level in reversed(range(len(skips))):
            # the 1 × 1 convolution and the doubling commute; on the small map it is cheaper
            grown = functional.interpolate(self.up[level](x), scale_factor=2.0, mode="nearest")
            x = self.outer[level](torch.cat((grown, skips[level]), dim=1))
        return self.out(x)


class _Convolutions(nn.Sequential):
    def __init__(self, before: int, after: int):
        super().__init__(
            nn.Conv2d(before, after, 3, padding=1),
            nn.GroupNorm(GROUPS, after),
            nn.SiLU(),
            nn.Conv2d(after, after, 3, padding=1),
            nn.GroupNorm(GROUPS, after),
            nn.SiLU(),
        )
