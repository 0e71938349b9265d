"""Residual motion: what Gaussians do beyond the mesh, by an MLP at every point (FFAvatar, arXiv 2606.30347)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class ResidualMotion(nn.Module):
    """The motion refinement module (MARM): each point's code and feature with a frame's motion to a residual.

    Ours in everything but what goes in: depth 4, SiLU, a last layer that starts at zero, and residuals on the raw
    outputs before :func:`engine.models.kit.activation.activate`, which keeps every attribute within its range.

    Args:
        point_width: numbers at a point. motion_width: numbers of a frame. out_width: raw outputs per Gaussian.
        hidden: channels of each of the ``depth`` layers.
    """

    def __init__(self, point_width: int, motion_width: int, out_width: int, hidden: int, depth: int = 4):
        super().__init__()
        # A first layer on (point, motion) side by side is the sum of one on each; so points are read once per frame
        # without repeating the motion at every point.
        self.point, self.motion = nn.Linear(point_width, hidden), nn.Linear(motion_width, hidden, bias=False)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth - 1))
        self.out = nn.Linear(hidden, out_width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, points: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
        """Points [B, P, point_width] under a motion [B, motion_width] to residuals [B, P, out_width]."""
        x = functional.silu(self.point(points) + self.motion(motion)[:, None])
        for layer in self.layers:
            x = functional.silu(layer(x))
        return self.out(x)
