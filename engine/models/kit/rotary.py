"""Rotary positions of image patches: tables of angles by which queries and keys are turned (RoPE, arXiv 2104.09864)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Rotation:
    """Angles of L tokens for heads of width D.

    Attributes:
        cos, sin: [L, D].
        blocks: the head is cut into this many equal blocks; channel i of a block's first half turns with channel i of
            its second half.
    """

    cos: torch.Tensor
    sin: torch.Tensor
    blocks: int

    def repeat(self, times: int) -> Rotation:
        """The same positions once per view, for tokens of all views in one sequence."""
        return Rotation(self.cos.repeat(times, 1), self.sin.repeat(times, 1), self.blocks)

    def after(self, unturned: int) -> Rotation:
        """The table for sequences that begin with ``unturned`` tokens without a place (camera, expression)."""
        ones, zeros = self.cos.new_ones(unturned, self.cos.shape[1]), self.sin.new_zeros(unturned, self.sin.shape[1])
        return Rotation(torch.cat((ones, self.cos)), torch.cat((zeros, self.sin)), self.blocks)


def rotate(x: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Turn queries or keys [..., L, D]."""
    first, second = x.unflatten(-1, (rotation.blocks, 2, -1)).unbind(-2)
    turned = torch.stack((-second, first), dim=-2).flatten(-3)
    return x * rotation.cos + turned * rotation.sin


def centred_rotation(
    rows: int,
    columns: int,
    head_width: int,
    device: torch.device | None = None,
    base: float = 100.0,
    stretch: torch.Tensor | float = 1.0,
) -> Rotation:
    """DINOv3's table (arXiv 2508.10104): patch centres in -1..1 on each axis, so it means the same at any resolution.

    Args:
        rows, columns: of the patch grid; tokens run row by row.
        head_width: D, a multiple of 4.
        base: periods run from 1 to this, in units of half the image.
        stretch: factor of all places.
    """
    y, x = (2 * (torch.arange(n, device=device) + 0.5) / n - 1 for n in (rows, columns))
    quarter = head_width // 4
    periods = base ** (torch.arange(quarter, device=device) / quarter)
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flatten(0, 1)  # [L, 2]
    angles = (2 * math.pi * stretch * grid[:, :, None] / periods).flatten(1).repeat(1, 2)  # [L, D]
    return Rotation(angles.cos(), angles.sin(), blocks=1)


def grid_rotation(
    rows: int, columns: int, head_width: int, device: torch.device | None = None, base: float = 100.0
) -> Rotation:
    """VGGT's table (arXiv 2503.11651): whole row numbers turn the first half of a head, column numbers the second.

    Args:
        rows, columns: of the patch grid; tokens run row by row.
        head_width: D, a multiple of 4.
        base: frequencies run from 1 down to nearly 1 / base, in radians per patch.
    """
    quarter = head_width // 4
    frequencies = base ** (-torch.arange(quarter, device=device) / quarter)
    numbers = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    grid = torch.stack(numbers, dim=-1).flatten(0, 1)  # [L, 2]
    angles = (grid[:, :, None] * frequencies).repeat(1, 1, 2).flatten(1)  # [L, D]
    return Rotation(angles.cos(), angles.sin(), blocks=2)
