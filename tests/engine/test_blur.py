"""SSIM's blur against scipy's, and its gradient against the definition of an adjoint."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from engine.blur import GAUSSIAN, blur

SHAPES = [(1, 1, 5, 5), (2, 3, 40, 5), (1, 1, 11, 17), (1, 12, 64, 100)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_window_of_the_paper_mirrored_at_the_border(shape, dtype):
    x = torch.from_numpy(np.random.default_rng(0).random(shape)).to(dtype)
    expected = x.double().numpy()
    for axis in (2, 3):
        expected = ndimage.correlate1d(expected, GAUSSIAN, axis, mode="reflect")
    np.testing.assert_allclose(blur(x).numpy(), expected, atol=2e-6 if dtype == torch.float32 else 1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_the_adjoint(shape, dtype):
    """⟨blur x, y⟩ = ⟨x, pull y⟩ for any x and y; in float64 of every single pixel."""
    rng = np.random.default_rng(1)
    x, y = (torch.from_numpy(rng.normal(size=shape)).to(dtype) for _ in range(2))
    x.requires_grad_()
    blurred = blur(x)
    (pulled,) = torch.autograd.grad(blurred, x, y)
    one, other = float((blurred.double() * y).sum()), float((x.double() * pulled).sum())
    assert one == pytest.approx(other, rel=1e-4 if dtype == torch.float32 else 1e-12, abs=1e-3)
    if dtype == torch.float32:
        exact = x.detach().double().requires_grad_()
        (expected,) = torch.autograd.grad(blur(exact), exact, y.double())
        torch.testing.assert_close(pulled.double(), expected, atol=5e-6, rtol=0)
    elif x.numel() < 200:
        assert torch.autograd.gradcheck(blur, x)
