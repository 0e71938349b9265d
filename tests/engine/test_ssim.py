"""The compiled similarity and its gradient by hand against the same of torch's operations in float64."""

import numpy as np
import pytest
import torch

from engine import ssim

SHAPES = [(1, 1, 5, 5), (2, 3, 40, 5), (1, 1, 11, 17), (1, 3, 64, 100)]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alike", [False, True])
def test_it_and_its_gradient_are_those_of_the_definition(shape, alike):
    rng = np.random.default_rng(0)
    first = rng.random(shape)
    second = (first + 0.02 * rng.normal(size=shape)).clip(0, 1) if alike else rng.random(shape)
    a, b = (torch.from_numpy(x).float().requires_grad_() for x in (first, second))
    c, d = (x.detach().double().requires_grad_() for x in (a, b))
    weights = torch.from_numpy(rng.normal(size=shape))
    made, wanted = ssim.ssim_map(a, b), ssim._composed(c, d)
    torch.testing.assert_close(made.double(), wanted, atol=2e-3 if alike else 1e-4, rtol=0)
    (made * weights.float()).sum().backward()
    (wanted * weights).sum().backward()
    for mine, true in ((a.grad, c.grad), (b.grad, d.grad)):
        assert (mine.double() - true).norm() < 2e-3 * true.norm()


def test_a_constant_needs_no_gradient_and_gets_none():
    a, b = torch.rand(1, 3, 16, 16).requires_grad_(), torch.rand(1, 3, 16, 16)
    ssim.ssim_map(a, b).mean().backward()
    assert a.grad is not None and b.grad is None
    assert not ssim.ssim_map(a.detach(), b).requires_grad
