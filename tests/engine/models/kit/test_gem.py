"""The Gaussian eigenmodel against planted sequences and numpy's SVD in double precision; its regressor held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from engine.gaussians.eigenbasis import STEPS, Eigenbasis
from engine.gaussians.gaussians import BoundGaussians
from engine.models.kit.gem import eigenmodel, train_regressor

N, F, M = 60, 24, 7
NOBODY = torch.zeros(N, dtype=torch.bool)
PARTS = np.split(np.arange(14), [3, 7, 10, 11])  # offset, quaternion, scale, opacity, colour


@pytest.fixture
def center() -> BoundGaussians:
    torch.manual_seed(4)
    return BoundGaussians(
        triangles=torch.arange(N),
        barycentrics=torch.full((N, 3), 1 / 3),
        offsets=0.01 * torch.randn(N, 3),
        quats=functional.normalize(torch.randn(N, 4), dim=-1),
        scales=0.001 + 0.01 * torch.rand(N, 3),
        opacities=0.2 + 0.6 * torch.rand(N),
        colors=0.3 + 0.4 * torch.rand(N, 3),
        parts=torch.zeros(N, dtype=torch.uint8),
    )


def planted(center: BoundGaussians, rank: int, strength: float) -> tuple[list[BoundGaussians], np.ndarray]:
    """F frames that ``rank`` numbers each move, around ``center``, and their changes [F, N, 14] in steps, float64."""
    latent = torch.randn(F, rank)
    latent -= latent.mean(0)
    directions = strength * torch.randn(rank, N, 14)
    # along its quaternion a Gaussian cannot change
    along = (directions[..., 3:7] * center.quats).sum(-1, keepdim=True)
    directions[..., 3:7] -= along * center.quats
    truth = Eigenbasis(directions * torch.tensor(STEPS), torch.eye(rank))
    changes = np.einsum("fr,rna->fna", latent.double().numpy(), directions.double().numpy())
    return [truth.apply(center, each) for each in latent], changes


def steps_apart(one: BoundGaussians, other: BoundGaussians) -> np.ndarray:
    """[N, 14] differences in steps, from the values themselves, in double precision."""
    values = []
    for each in (one, other):
        opacity = each.opacities.double().numpy()
        parts = (
            each.offsets,
            each.quats,
            each.scales.double().log(),
            torch.from_numpy(np.log(opacity / (1 - opacity))),
        )
        values.append(np.column_stack([part.double().numpy() for part in (*parts, each.colors)]))
    return (values[1] - values[0]) / np.array(STEPS)


def test_a_planted_sequence_comes_back_with_its_rank(center):
    """Frames in any sign of their quaternions; mean, directions and strengths as numpy has them."""
    frames, changes = planted(center, rank=3, strength=0.3)
    frames[5] = replace(frames[5], quats=-frames[5].quats)
    gem = eigenmodel(frames, 3, NOBODY, NOBODY)
    assert np.abs(steps_apart(center, gem.mean)).max() < 0.05  # of the quaternions' curvature alone
    flat = changes.reshape(F, -1)
    _, strengths, directions = np.linalg.svd(flat, full_matrices=False)
    np.testing.assert_allclose(gem.coefficients.norm(dim=0), strengths[:3], rtol=1e-3)
    ours = (gem.basis / torch.tensor(STEPS)).flatten(1).double().numpy()
    np.testing.assert_allclose(ours @ ours.T, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(np.linalg.svd(ours @ directions[:3].T, compute_uv=False), 1, atol=1e-4)  # the same span
    for frame, coefficients in zip(frames, gem.coefficients, strict=True):
        again = gem.at(coefficients)
        nearer = replace(frame, quats=frame.quats * (frame.quats * again.quats).sum(-1, keepdim=True).sign())
        assert np.abs(steps_apart(nearer, again)).max() < 0.05


def test_fewer_directions_keep_what_an_svd_keeps(center):
    frames, _ = planted(center, rank=6, strength=0.5)
    frames = [replace(frame, quats=center.quats) for frame in frames]  # all else is linear
    whole = np.stack([steps_apart(frames[0], frame) for frame in frames]).reshape(F, -1)
    strengths = np.linalg.svd(whole - whole.mean(0), compute_uv=False)
    gem = eigenmodel(frames, 2, NOBODY, NOBODY)
    lost = sum(
        np.square(steps_apart(frame, gem.at(k))).sum() for frame, k in zip(frames, gem.coefficients, strict=True)
    )
    assert lost == pytest.approx(np.square(strengths[2:]).sum(), rel=1e-3)
    assert len(eigenmodel(frames, 150, NOBODY, NOBODY).basis) == 6  # no directions of noise


def test_static_parts_do_not_move_and_the_mouth_keeps_its_looks(center):
    frames, _ = planted(center, rank=4, strength=1.0)
    still, mouth = NOBODY.clone(), NOBODY.clone()
    still[:20], mouth[20:40] = True, True
    gem = eigenmodel(frames, 4, still, mouth)
    moved = gem.at(3 * gem.coefficients[1])
    for name in ("offsets", "scales", "opacities", "colors"):
        assert torch.equal(getattr(moved, name)[:20], getattr(gem.mean, name)[:20])
        assert not torch.equal(getattr(moved, name)[40:], getattr(gem.mean, name)[40:])
        same = torch.equal(getattr(moved, name)[20:40], getattr(gem.mean, name)[20:40])
        assert same is (name != "offsets")
    torch.testing.assert_close(moved.quats[:20], gem.mean.quats[:20])
    # the mean is that of all frames, in the still parts too
    torch.testing.assert_close(gem.mean.offsets, torch.stack([frame.offsets for frame in frames]).mean(0))


def test_joint_directions_keep_more_of_a_correlated_motion_than_separate_ones(center):
    """Per-attribute directions as numpy finds them, the best ones for as many coefficients."""
    frames, changes = planted(center, rank=4, strength=0.3)
    kept = 4
    gem = eigenmodel(frames, kept, NOBODY, NOBODY)
    joint = gem.coefficients.double().square().sum().item()
    separate = [np.linalg.svd(changes[..., part].reshape(F, -1), compute_uv=False) for part in PARTS]
    best = np.sort(np.square(np.concatenate(separate)))[::-1][:kept].sum()
    whole = np.square(changes).sum()
    assert joint > 0.99 * whole
    assert best < 0.7 * whole


@pytest.mark.slow
def test_the_regressor_follows_frames_that_it_did_not_see(center):
    """Coefficients linear in four of the features, and two that have nothing to do with them."""
    generator = torch.Generator().manual_seed(2)
    features = torch.zeros(150, M)
    features[:, :4] = torch.rand(150, 4, generator=generator) - 0.3
    coefficients = features @ torch.randn(M, 7, generator=generator) * torch.tensor((40.0, 20, 10, 5, 2, 0, 0))
    coefficients[:, 5:] = 20 * torch.randn(150, 2, generator=generator)
    seen, unseen = slice(0, 120), slice(120, None)
    told = coefficients[:, :5]
    regressor = train_regressor(features[seen], coefficients[seen], seed=1, steps=200)
    error = (regressor(features[unseen])[:, :5] - told[unseen]).square().sum()
    mean = (told[seen].mean(0) - told[unseen]).square().sum()
    assert error < 0.1 * mean
    assert regressor.trust[:3].min() > 0.8 and regressor.trust[5:].max() == 0  # those stay at their mean
    # keys that no frame moved change nothing, and no key takes the face beyond what frames show
    odd = features[unseen].clone()
    odd[:, 4:] = 1.0
    torch.testing.assert_close(regressor(odd), regressor(features[unseen]), rtol=1e-4, atol=1e-3)
    assert torch.equal(regressor(100 * features[:1]), regressor(1000 * features[:1]))


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_sequence_without_motion_stays_where_it_is(center):
    gem = eigenmodel([center] * 3, 2, NOBODY, NOBODY)
    torch.testing.assert_close(gem.at(gem.coefficients[0]).offsets, center.offsets)
    regressor = train_regressor(torch.zeros(3, M), gem.coefficients, seed=0, steps=2)
    assert regressor(torch.ones(M)).shape == (len(gem.basis),)
    assert torch.isfinite(regressor(torch.ones(M))).all()
