"""Token sets that do not come from pictures: learned places on the UV map."""

from __future__ import annotations

import torch
from torch import nn


def sincos_grid(rows: int, columns: int, width: int, base: float = 10_000.0) -> torch.Tensor:
    """[rows · columns, width] fixed code of places: half the channels for the column, half for the row (MAE's).

    Each half holds sines, then cosines, of the index times ``base``^(-4 m / width).
    """
    quarter = width // 4
    frequencies = base ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    halves = [index.reshape(-1, 1) * frequencies for index in (column, row)]
    return torch.cat([f(half) for half in halves for f in (torch.sin, torch.cos)], dim=1).float()


class LearnedUVTokens(nn.Module):
    """side² learned tokens, row by row over the UV map (UIKA §2.5); as head queries they need no UV map either."""

    def __init__(self, side: int, width: int):
        super().__init__()
        self.tokens = nn.Parameter(nn.init.trunc_normal_(torch.empty(side * side, width), std=0.02))
        self.places = nn.Parameter(sincos_grid(side, side, width))

    def forward(self, batch: int) -> torch.Tensor:
        """[B, side², C]."""
        return (self.tokens + self.places).expand(batch, -1, -1)
