"""What keeps neighbouring Gaussians together: on the CPU, value and gradient in one compiled pass over their pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine.kernels import njit

SMOOTHNESS = 0.05  # of neighbouring offsets, in mm²
COLOR_SMOOTHNESS = 0.002


def smoothness(moves: torch.Tensor, colors: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """How much neighbours differ: squared millimetres of their moves, absolute colours, each as a mean over pairs.

    Args:
        moves: [N, 3] metres. colors: [N, 3]. pairs: [M, 2] int64.

    Returns:
        A scalar, differentiable in both.
    """
    if moves.device.type == "cpu":
        return _Smoothness.apply(moves, colors, pairs)  # type: ignore[return-value]
    return _composed(moves, colors, pairs)


def _composed(moves: torch.Tensor, colors: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """The same of torch's operations, for other devices."""
    count = max(len(pairs), 1)
    bend, shade = (each.index_select(0, pairs[:, 0]) - each.index_select(0, pairs[:, 1]) for each in (moves, colors))
    return (SMOOTHNESS * 1e6 * bend.square().sum() + COLOR_SMOOTHNESS / 3 * shade.abs().sum()) / count


class _Smoothness(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, moves: torch.Tensor, colors: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        ctx.grads = np.zeros(moves.shape, np.float32), np.zeros(colors.shape, np.float32)
        values = (x.detach().contiguous().numpy() for x in (moves, colors, pairs))
        return moves.new_tensor(_together(*values, *ctx.grads))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return (*(grads[0] * torch.from_numpy(grad) for grad in ctx.grads), None)


@njit(nogil=True)
def _together(moves, colors, pairs, move_grads, color_grads):
    """The value; adds its gradient to the two last. One thread: several pairs share a Gaussian."""
    count = max(len(pairs), 1)
    of_moves, of_colors = SMOOTHNESS * 1e6 / count, COLOR_SMOOTHNESS / (3 * count)
    bend, shade = 0.0, 0.0
    for k in range(len(pairs)):
        one, other = pairs[k, 0], pairs[k, 1]
        for c in range(3):
            step = moves[one, c] - moves[other, c]
            bend += step * step
            pull = np.float32(2 * of_moves * step)
            move_grads[one, c] += pull
            move_grads[other, c] -= pull
            step = colors[one, c] - colors[other, c]
            shade += abs(step)
            pull = np.float32(of_colors * np.sign(step))
            color_grads[one, c] += pull
            color_grads[other, c] -= pull
    return of_moves * bend + of_colors * shade
