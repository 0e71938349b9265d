"""The linear eigenbasis against motions whose basis is known, and against the best basis of its rank."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from engine.gaussians.eigenbasis import STEPS, Eigenbasis
from engine.gaussians.gaussians import BoundGaussians
from engine.models.kit.eigenbasis import fidelity, fit_motion

N, M, S = 40, 6, 30


@pytest.fixture
def neutral() -> BoundGaussians:
    torch.manual_seed(3)
    return BoundGaussians(
        triangles=torch.arange(N),
        barycentrics=torch.full((N, 3), 1 / 3),
        offsets=torch.randn(N, 3),
        quats=functional.normalize(torch.randn(N, 4), dim=-1),
        scales=0.001 + 0.01 * torch.rand(N, 3),
        opacities=torch.rand(N),
        colors=0.3 + 0.4 * torch.rand(N, 3),
        parts=torch.zeros(N, dtype=torch.uint8),
    )


def motion_of(rank: int) -> Eigenbasis:
    return Eigenbasis(torch.randn(rank, N, 14) * torch.tensor(STEPS), torch.randn(M, rank))


def test_a_linear_motion_comes_back(neutral):
    truth, motions = motion_of(3), torch.rand(S + 5, M)
    samples = [truth.apply(neutral, features) for features in motions]
    rest, fitted = fit_motion(neutral, samples[:S], motions[:S], components=3)
    torch.testing.assert_close(rest.offsets, neutral.offsets, atol=1e-6, rtol=0)
    good = fidelity(fitted, rest, samples[S:], motions[S:])
    assert good > 30  # renormalised quaternions are not quite linear
    assert fidelity(fitted, rest, samples[S:], motions[S:] * 0) == pytest.approx(0, abs=1e-3)  # no motion at all
    rest, less = fit_motion(neutral, samples[:S], motions[:S], components=2)
    assert fidelity(less, rest, samples[S:], motions[S:]) < good - 10


def test_it_is_the_best_of_its_rank(neutral):
    """Reduced-rank regression, checked against an SVD of the fitted values, on positions alone."""
    motions = torch.rand(S, M, dtype=torch.float64)
    curved = torch.randn(M, N * 3, dtype=torch.float64), torch.randn(M, N * 3, dtype=torch.float64)
    changes = 0.001 * (motions @ curved[0] + motions.square() @ curved[1]).view(S, N, 3)
    precise = ("offsets", "quats", "scales", "opacities", "colors")
    neutral = replace(neutral, **{name: getattr(neutral, name).double() for name in precise})
    samples = [replace(neutral, offsets=neutral.offsets + change) for change in changes]
    rest, fitted = fit_motion(neutral, samples, motions, components=2)

    true = changes.flatten(1)
    affine = torch.cat((motions, torch.ones(S, 1).to(motions)), dim=1)
    solution = torch.linalg.lstsq(affine, true).solution
    torch.testing.assert_close((rest.offsets - neutral.offsets).flatten(), solution[-1])
    full = affine @ solution
    u, s, vt = torch.linalg.svd(full - full.mean(0), full_matrices=False)
    best = full.mean(0) + (u[:, :2] * s[:2]) @ vt[:2]
    middle = motions.mean(0) @ fitted.gains @ fitted.basis[..., :3].flatten(1)  # the fit keeps the rest at no motion
    error = (best - full.mean(0) + middle + solution[-1] - true).square().sum() / (true - solution[-1]).square().sum()
    assert fidelity(fitted, rest, samples, motions) == pytest.approx(-10 * math.log10(error), abs=1e-6)


def test_quaternions_of_the_other_sign_are_no_motion(neutral):
    flipped = replace(neutral, quats=-neutral.quats)
    _, fitted = fit_motion(neutral, [flipped, flipped], torch.eye(2, M), components=1)
    assert not fitted.basis.any()


def test_more_directions_than_the_motion_has_add_nothing(neutral):
    """Positions alone, which are linear to the bit: rounding must not come in as directions of its own."""
    truth = motion_of(1)
    truth.basis[..., 3:] = 0
    motions = torch.rand(S, M)
    samples = [truth.apply(neutral, features) for features in motions]
    rest, fitted = fit_motion(neutral, samples, motions, components=5)
    assert fidelity(fitted, rest, samples, motions) > 50
