"""The linear eigenbasis against motions whose basis is known, and against the best basis of its rank."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from engine.gaussians.gaussians import Splats
from engine.models.kit.eigenbasis import STEPS, Eigenbasis, fidelity, fit_eigenbasis

N, E, S = 40, 6, 30


@pytest.fixture
def neutral() -> Splats:
    torch.manual_seed(3)
    quats = functional.normalize(torch.randn(N, 4), dim=-1)
    return Splats(torch.randn(N, 3), quats, 0.001 + 0.01 * torch.rand(N, 3), torch.rand(N), torch.rand(N, 3))


def motion_of(rank: int) -> Eigenbasis:
    return Eigenbasis(torch.randn(rank, N, 14) * torch.tensor(STEPS), torch.randn(E, rank))


def test_a_linear_motion_comes_back(neutral):
    truth, motions = motion_of(3), torch.rand(S + 5, E)
    samples = [truth.evaluate(neutral, code) for code in motions]
    fitted = fit_eigenbasis(neutral, samples[:S], motions[:S], components=3)
    good = fidelity(fitted, neutral, samples[S:], motions[S:])
    assert good > 30  # renormalised quaternions are not quite linear
    assert fidelity(fitted, neutral, samples[S:], motions[S:] * 0) == pytest.approx(0, abs=1e-3)  # no motion at all
    less = fit_eigenbasis(neutral, samples[:S], motions[:S], components=2)
    assert fidelity(less, neutral, samples[S:], motions[S:]) < good - 10


def test_no_motion_is_the_neutral_bit_by_bit(neutral):
    for one, other in zip(
        vars(motion_of(3).evaluate(neutral, torch.zeros(E))).values(), vars(neutral).values(), strict=True
    ):
        assert torch.equal(one, other)


def test_it_is_the_best_of_its_rank(neutral):
    """Reduced-rank regression, checked against an SVD of the fitted values, on positions alone."""
    motions = torch.rand(S, E, dtype=torch.float64)
    curved = torch.randn(E, N * 3, dtype=torch.float64), torch.randn(E, N * 3, dtype=torch.float64)
    changes = 0.001 * (motions @ curved[0] + motions.square() @ curved[1]).view(S, N, 3)
    neutral = Splats(*(field.double() for field in vars(neutral).values()))
    fields = {name: field for name, field in vars(neutral).items() if name != "means"}
    samples = [Splats(means=neutral.means + change, **fields) for change in changes]
    fitted = fit_eigenbasis(neutral, samples, motions, components=2)

    full = motions @ torch.linalg.lstsq(motions, changes.flatten(1)).solution
    u, s, vt = torch.linalg.svd(full, full_matrices=False)
    best = (u[:, :2] * s[:2]) @ vt[:2]
    error = (best - changes.flatten(1)).square().sum() / changes.square().sum()
    assert fidelity(fitted, neutral, samples, motions) == pytest.approx(-10 * math.log10(error), abs=1e-6)


def test_quaternions_of_the_other_sign_are_no_motion(neutral):
    flipped = Splats(neutral.means, -neutral.quats, neutral.scales, neutral.opacities, neutral.colors)
    fitted = fit_eigenbasis(neutral, [flipped, flipped], torch.eye(2, E), components=1)
    assert not fitted.basis.any()
