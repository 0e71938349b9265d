"""Gaussians under an eigenbasis against the formulas written out per Gaussian, and motion features against SciPy."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from scipy.special import expit, logit
from torch.nn import functional

from engine.gaussians.eigenbasis import STEPS, Eigenbasis, motion_features
from engine.gaussians.gaussians import BoundGaussians

N, K, M = 30, 4, 7


def example() -> tuple[BoundGaussians, Eigenbasis, torch.Tensor]:
    torch.manual_seed(5)
    quats = functional.normalize(torch.randn(N, 4), dim=-1)
    scales, opacities, colors = 0.01 * torch.rand(N, 3) + 1e-4, torch.rand(N), 1.6 * torch.rand(N, 3) - 0.3
    where = torch.arange(N), torch.full((N, 3), 1 / 3), torch.randn(N, 3)
    neutral = BoundGaussians(*where, quats, scales, opacities, colors, torch.zeros(N, dtype=torch.uint8))
    eigenbasis = Eigenbasis(5 * torch.randn(K, N, 14) * torch.tensor(STEPS), torch.randn(M, K))
    return neutral, eigenbasis, torch.rand(M)


def test_every_attribute_changes_as_it_says():
    neutral, eigenbasis, features = example()
    before, moved = (
        {name: value.double().numpy() for name, value in vars(each).items()}
        for each in (neutral, eigenbasis.apply(neutral, features))
    )
    coefficients = features.double().numpy() @ eigenbasis.gains.double().numpy()
    for n in range(N):
        change = sum(c * eigenbasis.basis[k, n].double().numpy() for k, c in enumerate(coefficients))
        np.testing.assert_allclose(moved["offsets"][n], before["offsets"][n] + change[:3], atol=1e-6)
        quat = before["quats"][n] + change[3:7]
        np.testing.assert_allclose(moved["quats"][n], quat / np.linalg.norm(quat), atol=1e-6)
        np.testing.assert_allclose(moved["scales"][n], np.exp(np.log(before["scales"][n]) + change[7:10]), rtol=1e-5)
        opacity = expit(logit(before["opacities"][n]) + change[10])
        np.testing.assert_allclose(moved["opacities"][n], opacity, atol=1e-6)
        color = before["colors"][n]
        color = np.clip(color + change[11:], np.minimum(color, 0), np.maximum(color, 1))
        np.testing.assert_allclose(moved["colors"][n], color, atol=1e-6)


def test_no_motion_is_the_neutral_bit_by_bit():
    neutral, eigenbasis, features = example()
    moved = eigenbasis.apply(neutral, torch.zeros_like(features))
    for name, value in vars(neutral).items():
        assert torch.equal(getattr(moved, name), value), name


def test_motion_features_are_the_antisymmetric_part_of_each_rotation():
    turns = torch.tensor([[0.0, 0.0, 0.0], [0.3, -1.2, 0.4], [1e-9, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([0.5, 0.1], dtype=torch.float64)
    features = motion_features(weights, turns)
    matrices = Rotation.from_rotvec(turns.detach().numpy()).as_matrix()
    odd = (matrices - matrices.transpose(0, 2, 1)) / 2
    axial = np.stack((odd[:, 2, 1], odd[:, 0, 2], odd[:, 1, 0]), axis=1)
    np.testing.assert_allclose(features.detach(), np.concatenate((weights, axial.ravel())), atol=1e-15)
    features.sum().backward()
    assert turns.grad is not None and bool(turns.grad.isfinite().all())
