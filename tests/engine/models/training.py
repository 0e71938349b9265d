"""What the tests of networks have in common: weights that hide nothing, and parameters that would never learn."""

from __future__ import annotations

from typing import TypeVar

import pytest
import torch
from torch import nn

from engine.gaussians.gaussians import Splats

Network = TypeVar("Network", bound=nn.Module)


def shaken(network: Network, strength: float = 0.1) -> Network:
    """The network as it is used, with noise on all weights, so that layers which start at zero do something."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(strength * torch.randn(parameter.shape, generator=generator))
    return network.eval()  # DINOv3 jitters its places while it trains


def not_learning(network: nn.Module, splats: Splats) -> list[str]:
    """Names of the trainable parameters on which no Gaussian depends."""
    torch.stack([(field * torch.randn_like(field)).sum() for field in vars(splats).values()]).sum().backward()
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]


def close(one: Splats, other: Splats) -> None:
    for name in vars(one):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-5)


def starts_on(anchors: torch.Tensor, splats: Splats) -> None:
    """A fresh ``on_surface`` network: opaque, near the anchors [..., 3] in metres, turned and sized as they are."""
    assert (splats.means - anchors).norm(dim=-1).max() < 0.02 and (splats.means - anchors).norm(dim=-1).mean() < 0.005
    assert splats.opacities.median().item() == pytest.approx(0.9526, abs=0.01)
    assert splats.scales.median().item() == pytest.approx(1, abs=0.05)
    assert splats.quats[..., 0].median() > 0.97 and splats.quats[..., 0].min() > 0.7


def parameters(network: nn.Module, trainable: bool = False) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not trainable)
