"""What holds neighbours together, against the same in torch's float64."""

import pytest
import torch

from engine.refinement.smoothness import COLOR_SMOOTHNESS, SMOOTHNESS, _composed, smoothness


@pytest.mark.parametrize("smoothness", [smoothness, _composed])  # the CPU's, and that of other devices
def test_value_and_gradient_are_those_of_the_definition(smoothness):
    generator = torch.Generator().manual_seed(0)
    moves = 1e-3 * torch.randn(50, 3, generator=generator)
    colors, pairs = torch.rand(50, 3, generator=generator), torch.randint(50, (200, 2), generator=generator)
    single = [x.clone().requires_grad_() for x in (moves, colors)]
    double = [x.double().requires_grad_() for x in (moves, colors)]
    bend, shade = (x[pairs[:, 0]] - x[pairs[:, 1]] for x in double)
    wanted = SMOOTHNESS * (1e3 * bend).square().sum(1).mean() + COLOR_SMOOTHNESS * shade.abs().mean()
    made = smoothness(*single, pairs)
    assert abs(made.item() - wanted.item()) < 1e-5 * wanted.item()
    (3 * made).backward()
    (3 * wanted).backward()
    for mine, true in zip(single, double, strict=True):
        torch.testing.assert_close(mine.grad.double(), true.grad, rtol=1e-4, atol=1e-8)


def test_no_pairs_hold_nothing():
    moves, colors = torch.rand(4, 3).requires_grad_(), torch.rand(4, 3).requires_grad_()
    made = smoothness(moves, colors, torch.zeros((0, 2), dtype=torch.int64))
    made.backward()
    assert made.item() == 0 and not moves.grad.any() and not colors.grad.any()
