"""Rotations by scipy, to hold ours against."""

from __future__ import annotations

import torch
from scipy.spatial.transform import Rotation


def quat_to_matrix(quats: torch.Tensor) -> torch.Tensor:
    """[..., 3, 3] of [..., 4] wxyz, in the quaternions' precision."""
    matrices = Rotation.from_quat(quats.detach().reshape(-1, 4).numpy(), scalar_first=True).as_matrix()
    return torch.from_numpy(matrices).to(quats.dtype).view(*quats.shape[:-1], 3, 3)
