"""Numbers that go with a photo or a frame, camera and motion, as vectors and as tokens."""

from __future__ import annotations

import torch
from torch import nn

from engine.arkit import ARKIT_NAMES
from engine.heads.parametric import JOINTS

MOTION = len(ARKIT_NAMES) + 3 * len(JOINTS)
"""Numbers of a motion code of the engine's heads: ARKit's weights, then the axis-angles of ``JOINTS``."""
CAMERA = 16
"""Numbers of a camera code."""


def motion_codes(expression: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """Expression weights [..., 52] and joint rotations [..., 5, 3] (radians) to motion codes [..., 67]."""
    return torch.cat((expression, rotations.flatten(-2)), dim=-1)


def camera_codes(viewmats: torch.Tensor, Ks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Cameras as vectors (ours): rotation, translation in metres, focal lengths and centre as shares of the image.

    Args:
        viewmats: [..., 4, 4] world to camera, OpenCV. Ks: [..., 3, 3] pixels of height × width.

    Returns:
        [..., 16].
    """
    size = Ks.new_tensor((width, height))
    focal, centre = Ks.diagonal(dim1=-2, dim2=-1)[..., :2] / size, Ks[..., :2, 2] / size - 0.5
    return torch.cat((viewmats[..., :3, :3].flatten(-2), viewmats[..., :3, 3], focal, centre), dim=-1)


class VectorTokens(nn.Module):
    """One vector to ``count`` tokens through an MLP (Avat3r's expression tokens, arXiv 2502.20220).

    Args:
        in_width: numbers of the vector. hidden: widths between.
    """

    def __init__(self, in_width: int, hidden: tuple[int, ...], count: int, width: int):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((in_width, *hidden[:-1]), hidden, strict=True):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.count = count
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden[-1], count * width))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[..., in_width] to [..., count, width]."""
        return self.mlp(vectors).unflatten(-1, (self.count, -1))
