"""Motion of Gaussians as a linear basis that any program can evaluate: keys and bones drive it without a network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from engine.gaussians.gaussians import BoundGaussians

STEPS = (0.001,) * 3 + (0.02,) * 4 + (0.05,) * 3 + (0.1,) + (0.01,) * 3
"""Changes that weigh the same (ours): metres, quaternion, logarithm of scale, opacity's logit, colour. The fit measures
in these units, and the avatar file stores in them."""
LARGEST_LOG = 20.0  # log scales and logits change by no more, so that no weights of keys overflow


@dataclass(frozen=True)
class Eigenbasis:
    """K joint directions in which all N Gaussians change in their triangles' frames, and what calls for them.

    Like MATCH's Gaussian eigenmodel (arXiv 2603.15811, G = μ + B k), but with coefficients k linear in the motion, so
    that keys and bones can drive it without a network (ours).

    Attributes:
        basis: [K, N, 14] float32: offset (m, in the triangle's frame), local quaternion, log scale, opacity's logit,
            colour; changes from the neutral per unit of a coefficient.
        gains: [M, K] float32 coefficients per unit of each motion feature; M = E + 3 J for avatars, see
            :func:`motion_features`.
    """

    basis: torch.Tensor
    gains: torch.Tensor

    def apply(self, neutral: BoundGaussians, features: torch.Tensor) -> BoundGaussians:
        """The N Gaussians under motion features [M]; at 0 they are the neutral ones to the last bit.

        Colours stay within 0..1, or where the neutral's own are if those lie outside.
        """
        change = torch.tensordot(features @ self.gains, self.basis, dims=1)  # [N, 14]
        offsets, quats, scales, opacities, colors = change.split((3, 4, 3, 1, 3), dim=-1)
        # as products of the neutral's values, so that no change gives back every bit of them
        odds = opacities.squeeze(-1).clamp(-LARGEST_LOG, LARGEST_LOG).exp()
        return replace(
            neutral,
            offsets=neutral.offsets + offsets,
            quats=functional.normalize(neutral.quats + quats, dim=-1) if bool(quats.any()) else neutral.quats,
            scales=neutral.scales * scales.clamp(-LARGEST_LOG, LARGEST_LOG).exp(),
            opacities=neutral.opacities * odds / (1 + neutral.opacities * (odds - 1)),
            colors=torch.minimum(
                torch.maximum(neutral.colors + colors, neutral.colors.clamp(max=0)), neutral.colors.clamp(min=1)
            ),
        )


def scale_offsets(eigenbasis: Eigenbasis, scale: float | torch.Tensor) -> Eigenbasis:
    """The eigenbasis of Gaussians whose offsets and scales became ``scale`` times as large; a factor or [N, 1]."""
    basis = eigenbasis.basis.clone()
    basis[..., :3] *= scale
    return replace(eigenbasis, basis=basis)


def padded(basis: torch.Tensor, count: int) -> torch.Tensor:
    """[K, count, 14]: the same motion, and none of the Gaussians after."""
    return functional.pad(basis, (0, 0, 0, count - basis.shape[1]))


def motion_features(expression: torch.Tensor, joint_rotations: torch.Tensor) -> torch.Tensor:
    """What an avatar's eigenbasis is linear in: the keys' weights, then per joint axis · sin(angle).

    The latter is the antisymmetric part of the joint's local rotation matrix: linear in the matrix, which any rig can
    read, and the axis-angle vector to first order (ours).

    Args:
        expression: [..., E] weights. joint_rotations: [..., J, 3] axis-angle in radians, each relative to its parent.

    Returns:
        [..., E + 3 J].
    """
    angles = torch.linalg.vector_norm(joint_rotations, dim=-1, keepdim=True)
    return torch.cat((expression, (joint_rotations * torch.sinc(angles / torch.pi)).flatten(-2)), dim=-1)
