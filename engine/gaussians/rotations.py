"""Rotations in torch: quaternions (wxyz), matrices and rotation vectors, all differentiable and free of NaN."""

from __future__ import annotations

import torch
from torch.nn import functional

SMALL_ANGLE_SQUARED = 1e-3  # rad²; below it the series' first dropped term is under 2e-13


def matrix_to_quat(matrices: torch.Tensor) -> torch.Tensor:
    """Unit quaternions [..., 4] wxyz of rotation matrices [..., 3, 3], accurate and differentiable at every angle.

    The outer product 4 q qᵀ is linear in the matrix (Bar-Itzhack 2000, doi 10.2514/2.4654); its row with the largest
    diagonal entry, which is never below 1, is q up to its length. The sign is arbitrary.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrices.flatten(-2).unbind(-1)
    wx, wy, wz = m21 - m12, m02 - m20, m10 - m01
    xy, xz, yz = m10 + m01, m02 + m20, m21 + m12
    outer = torch.stack(
        (
            1 + m00 + m11 + m22, wx, wy, wz,
            wx, 1 + m00 - m11 - m22, xy, xz,
            wy, xy, 1 - m00 + m11 - m22, yz,
            wz, xz, yz, 1 - m00 - m11 + m22,
        ),
        dim=-1,
    ).unflatten(-1, (4, 4))  # fmt: skip
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1, keepdim=True).unsqueeze(-1)  # [..., 1, 1]
    row = outer.gather(-2, best.expand(*best.shape[:-1], 4)).squeeze(-2)
    return functional.normalize(row, dim=-1)


def quat_multiply(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Hamilton product a ∘ b of quaternions [..., 4] wxyz: the rotation b first, then a."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    product = (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
    return torch.stack(product, dim=-1)


def left_matrix(quats: torch.Tensor) -> torch.Tensor:
    """[..., 4, 4] matrices that multiply a quaternion from the left: ``left_matrix(a) @ b`` is a ∘ b."""
    w, x, y, z = quats.unbind(-1)
    entries = (w, -x, -y, -z, x, w, -z, y, y, z, w, -x, z, -y, x, w)
    return torch.stack(entries, dim=-1).unflatten(-1, (4, 4))


def rotvec_to_matrix(rotvecs: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3] in radians (Rodrigues), smooth at zero as well."""
    squared = rotvecs.square().sum(-1)[..., None, None]
    is_small = squared < SMALL_ANGLE_SQUARED
    angle = torch.where(is_small, torch.ones_like(squared), squared).sqrt()
    sine = torch.where(is_small, 1 - squared / 6 + squared.square() / 120, angle.sin() / angle)
    cosine = torch.where(is_small, 0.5 - squared / 24 + squared.square() / 720, (1 - angle.cos()) / angle.square())
    x, y, z = rotvecs.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=rotvecs.dtype, device=rotvecs.device)
    return identity + sine * cross + cosine * (cross @ cross)
