"""Bending moves skin as a whole, by no more than its rate, and only where a photo pulls."""

import pytest
import torch

from engine.gaussians.gaussians import BoundGaussians
from engine.heads import load_head
from engine.heads.rig import make_rig
from engine.refinement.bending import Bending

RATE = 4e-4


@pytest.fixture
def bent():
    """Bending of one Gaussian in the middle of every triangle, and where they are."""
    head = load_head()
    rig = make_rig(head, head.template, head.joint_regressor @ head.template)
    count = len(rig.faces)
    gaussians = BoundGaussians(
        torch.arange(count), torch.full((count, 3), 1 / 3), torch.zeros(count, 3),
        torch.tensor([1.0, 0, 0, 0]).repeat(count, 1), torch.full((count, 3), 1e-3), torch.ones(count),
        torch.ones(count, 3), torch.zeros(count, dtype=torch.uint8),
    )  # fmt: skip
    return Bending(gaussians, rig), rig.neutral[rig.faces.long()].mean(dim=1)


def test_a_pull_at_one_place_moves_what_is_around_smoothly_and_nothing_far_away(bent):
    bending, place = bent
    nose = int(place[:, 2].argmax())
    for _ in range(20):
        bending.moves()[nose].sum().backward()
        bending.step(RATE)
    moved = bending.moves().detach().norm(dim=1)
    far = (place - place[nose]).norm(dim=1)
    assert moved[nose] > 2e-4
    assert moved[far > 0.08].max() < 0.01 * moved[nose]
    near = (far > 0.002) & (far < 0.006)
    assert moved[near].median() > 0.4 * moved[nose]  # its neighbours come along


def test_no_step_is_longer_than_the_rate(bent):
    bending, _ = bent
    (bending.moves() * torch.randn(3)).sum().mul(1e6).backward()
    bending.step(RATE)
    assert bending.latent.detach().norm(dim=1).max() <= RATE * 1.001


def test_the_solver_is_differentiated_as_it_is(bent):
    bending, _ = bent
    weights = torch.randn(len(bending.moves()), 3)
    (bending.moves() * weights).sum().backward()
    gradient = bending.latent.grad.clone()
    step = torch.randn_like(bending.latent)
    with torch.no_grad():
        before = (bending.moves().double() * weights).sum()
        bending.latent += step
        after = (bending.moves().double() * weights).sum()
    assert float(after - before) == pytest.approx(float((gradient * step).double().sum()), rel=1e-3)
