"""A network's motion as a linear basis that any program can evaluate: Gaussians = neutral + weights · basis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from engine.gaussians.gaussians import Splats

STEPS = (0.001,) * 3 + (0.02,) * 4 + (0.05,) * 3 + (0.1,) + (0.01,) * 3
"""Changes that weigh the same in the fit (ours): metres, quaternion, logarithm of scale, opacity's logit, colour."""
OPACITY_EDGE = 1e-4  # logits are taken this far inside 0..1


@dataclass(frozen=True)
class Eigenbasis:
    """K joint directions in which all N Gaussians change, and how strongly each motion code calls for them.

    Like MATCH's Gaussian eigenmodel (arXiv 2603.15811, G = μ + B k), but with coefficients k linear in the motion, so
    that keys and bones can drive it without a network (ours).

    Attributes:
        basis: [K, N, 14]: mean (m), quaternion, log scale, opacity's logit, colour; changes from the neutral.
        gains: [E, K] coefficients per unit of each entry of the motion code.
    """

    basis: torch.Tensor
    gains: torch.Tensor

    def evaluate(self, neutral: Splats, motion: torch.Tensor) -> Splats:
        """The N Gaussians under a motion code [E]; at 0 they are exactly the neutral ones."""
        change = torch.tensordot(motion @ self.gains, self.basis, dims=1)  # [N, 14]
        means, quats, scales, opacities, colors = change.split((3, 4, 3, 1, 3), dim=-1)
        # as products of the neutral's values, so that no change gives back every bit of them
        odds = opacities.squeeze(-1).exp()
        opacity = neutral.opacities * odds / (1 + neutral.opacities * (odds - 1))
        quats = functional.normalize(neutral.quats + quats, dim=-1) if bool(quats.any()) else neutral.quats
        return Splats(neutral.means + means, quats, neutral.scales * scales.exp(), opacity, neutral.colors + colors)


def fit_eigenbasis(neutral: Splats, samples: Sequence[Splats], motions: torch.Tensor, components: int) -> Eigenbasis:
    """The best K directions that are linear in the motion: least squares of reduced rank, joint over all attributes.

    Args:
        neutral: N Gaussians of motion code 0. samples: S times the same Gaussians under other motions; none of them
            posed by the mesh, whose motion the rig adds.
        motions: [S, E], their motion codes. components: K, at most the smaller of S and E.
    """
    steps = neutral.means.new_tensor(STEPS)
    changes = torch.stack([_change(neutral, sample) / steps for sample in samples]).flatten(1)  # [S, A]
    linear = torch.linalg.pinv(motions) @ changes  # [E, A], the full linear fit
    # Its fitted values' leading directions: an SVD of [S, A] by way of the small [E, E].
    small = torch.linalg.qr(motions).R @ linear
    _, vectors = torch.linalg.eigh(small @ small.T)
    leading = vectors.flip(1)[:, :components].T @ small  # [K, A], not yet of unit length
    basis = functional.normalize(leading, dim=1)
    return Eigenbasis(basis.unflatten(1, (-1, len(STEPS))) * steps, linear @ basis.T)


def fidelity(eigenbasis: Eigenbasis, neutral: Splats, samples: Sequence[Splats], motions: torch.Tensor) -> float:
    """How well the basis follows samples, which should not be those of the fit: motion over error in dB.

    Both are sums of squares over all attributes in units of :data:`STEPS`; infinite where there is no error.
    """
    steps = neutral.means.new_tensor(STEPS)
    motion = error = 0.0
    for sample, code in zip(samples, motions, strict=True):
        true, ours = (_change(neutral, each) / steps for each in (sample, eigenbasis.evaluate(neutral, code)))
        motion += true.square().sum().item()
        error += (true - ours).square().sum().item()
    return 10 * math.log10(motion / error) if motion and error else (math.inf if motion else -math.inf)


def _change(neutral: Splats, moved: Splats) -> torch.Tensor:
    """[N, 14] from one set of Gaussians to the other. Of the quaternions q and -q the nearer one counts."""
    nearer = torch.where((neutral.quats * moved.quats).sum(-1, keepdim=True) < 0, -moved.quats, moved.quats)
    inside = (each.opacities.clamp(OPACITY_EDGE, 1 - OPACITY_EDGE).logit() for each in (neutral, moved))
    before, after = inside
    parts = (
        moved.means - neutral.means,
        nearer - neutral.quats,
        (moved.scales / neutral.scales).log(),
        (after - before)[:, None],
        moved.colors - neutral.colors,
    )
    return torch.cat(parts, dim=-1)
