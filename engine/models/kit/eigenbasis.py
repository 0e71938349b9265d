"""Fits a network's motion as a linear basis of few directions: Gaussians = neutral + weights · basis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from engine.gaussians.eigenbasis import STEPS, Eigenbasis
from engine.gaussians.gaussians import BoundGaussians

OPACITY_EDGE = 1e-4  # logits are taken this far inside 0..1
WEAKEST = 1e-3  # of the strongest direction: weaker ones are left empty; float32 does not tell them from nothing


def fit_motion(
    neutral: BoundGaussians,
    samples: Sequence[BoundGaussians],
    motions: torch.Tensor,
    components: int,
    damping: float = 0.0,
) -> tuple[BoundGaussians, Eigenbasis]:
    """Rest and the best K directions affine in the motion: least squares of reduced rank, joint over all attributes.

    A network need not be linear from its neutral on: what all motions have in common belongs to rest.

    Args:
        neutral: N Gaussians to count changes from. samples: S times the same Gaussians under other motions, on the same
            triangles and anchors; what the mesh does to them is the rig's to add.
        motions: [S, M], their motion features (:func:`engine.gaussians.eigenbasis.motion_features`).
        components: K, at most the smaller of S and M.
        damping: of the fit towards no motion, per sample, where there are hardly more samples than features.

    Returns:
        The Gaussians without motion as the fit has them, and the eigenbasis that moves them.
    """
    steps = neutral.offsets.new_tensor(STEPS)
    changes = torch.stack([change(neutral, sample).div_(steps) for sample in samples]).flatten(1)  # [S, A]
    mean, middle = changes.mean(dim=0), motions.mean(dim=0)
    motions = motions - middle
    linear = _solver(motions, damping) @ changes.sub_(mean)  # [M, A], the full linear fit
    always = Eigenbasis(((mean - middle @ linear).unflatten(0, (-1, len(STEPS))) * steps)[None], motions.new_ones(1, 1))
    # Its fitted values' leading directions: an SVD of [S, A] by way of the small [M, M].
    small = torch.linalg.qr(motions).R @ linear
    _, vectors = torch.linalg.eigh(small @ small.T)
    leading = vectors.flip(1)[:, :components].T @ small  # [K, A], not yet of unit length
    # What is left where the motion has fewer directions is rounding, and no more at right angles to the others.
    strengths = torch.linalg.vector_norm(leading, dim=1, keepdim=True)
    basis = functional.normalize(torch.where(strengths > WEAKEST * strengths.max(), leading, 0), dim=1)
    eigenbasis = Eigenbasis(basis.unflatten(1, (-1, len(STEPS))) * steps, linear @ basis.T)
    return always.apply(neutral, motions.new_ones(1)), eigenbasis


def _solver(motions: torch.Tensor, damping: float) -> torch.Tensor:
    """[M, S]: times changes [S, A], their least-squares fit in the motions, damped towards none."""
    pull = (damping * len(motions)) ** 0.5 * torch.eye(motions.shape[1], dtype=motions.dtype, device=motions.device)
    return torch.linalg.pinv(torch.cat((motions, pull)))[:, : len(motions)]


def fidelity(
    eigenbasis: Eigenbasis, neutral: BoundGaussians, samples: Sequence[BoundGaussians], motions: torch.Tensor
) -> float:
    """How well the basis follows samples, which should not be those of the fit: motion over error in dB.

    Both are sums of squares over all attributes in units of :data:`engine.gaussians.eigenbasis.STEPS`; infinite where
    there is no error.
    """
    steps = neutral.offsets.new_tensor(STEPS)
    motion = error = 0.0
    for sample, features in zip(samples, motions, strict=True):
        true, ours = (change(neutral, each) / steps for each in (sample, eigenbasis.apply(neutral, features)))
        motion += true.square().sum().item()
        error += (true - ours).square().sum().item()
    return 10 * math.log10(motion / error) if motion and error else (math.inf if motion else -math.inf)


def change(neutral: BoundGaussians, moved: BoundGaussians) -> torch.Tensor:
    """[N, 14] from one set of Gaussians to the other on the same anchors, in an eigenbasis' order and units.

    Of the quaternions q and -q the nearer one counts; opacities count from :data:`OPACITY_EDGE` inside 0..1.
    """
    nearer = torch.where((neutral.quats * moved.quats).sum(-1, keepdim=True) < 0, -moved.quats, moved.quats)
    inside = (each.opacities.clamp(OPACITY_EDGE, 1 - OPACITY_EDGE).logit() for each in (neutral, moved))
    before, after = inside
    parts = (
        moved.offsets - neutral.offsets,
        nearer - neutral.quats,
        (moved.scales / neutral.scales).log(),
        (after - before)[:, None],
        moved.colors - neutral.colors,
    )
    return torch.cat(parts, dim=-1)
