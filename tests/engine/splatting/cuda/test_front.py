"""gsplat's front on the kernels that the engine brings: every launch, and what comes of it."""

from __future__ import annotations

import torch

from engine.splatting import reference
from engine.splatting.backends.gsplat_backend import rasterize
from tests.engine.splatting.test_rasterization import HEIGHT, INPUTS, WIDTH, random_scene


def test_values_and_gradients(card):
    inputs, Ks = random_scene(0, n=60)
    backgrounds = torch.tensor([[0.2, 0.5, 0.9], [1.0, 0.0, 0.3]])
    slow = [x.clone().requires_grad_() for x in inputs]
    fast = [x.float().requires_grad_() for x in inputs]
    slow_renders, slow_alphas = reference.rasterization(*slow, Ks, WIDTH, HEIGHT, backgrounds=backgrounds.double())
    renders, alphas, meta = rasterize(*fast, Ks.float(), WIDTH, HEIGHT, near_plane=0.01, backgrounds=backgrounds, visible=None)
    print((renders-slow_renders).abs().max(), (alphas-slow_alphas).abs().max(), meta["radii"].shape)
    d = torch.randn(slow_renders.shape, dtype=torch.float64)
    ((slow_renders * d).sum() + slow_alphas.sum()).backward()
    ((renders * d).sum() + alphas.sum()).backward()
    for name, e, a in zip(INPUTS, slow, fast):
        print(name, float((a.grad - e.grad).norm() / e.grad.norm()))
    print(card.launches, card.errors)
