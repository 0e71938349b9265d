"""Rows about drawing: one rasteriser against another, and frames per second of what a viewer does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch

from engine.arkit import ARKIT_NAMES
from engine.avatar import drive
from engine.benchmark.measure import median_seconds
from engine.gaussians.gaussians import Splats
from engine.models.kit.scene import head_shell, portrait_camera, shell_avatar
from engine.rendering import Camera, render
from engine.splatting import rasterization, reference

INPUTS = ("means", "quats", "scales", "opacities", "colors", "viewmats")
DRIVEN = 8  # expressions that a driven avatar goes through, each of a few keys
KEYS_AT_ONCE = 12
FRAMES = 50  # timed one by one
NEEDLES = (0.2, 1.0, 2.5)  # spread of the logarithms of scales, from round to needles

Rasteriser = Callable[..., tuple[torch.Tensor, torch.Tensor, object]]
"""Called as :func:`engine.splatting.rasterization` with means … viewmats, Ks, width and height, by position."""


@dataclass(frozen=True)
class Scene:
    """N random Gaussians, one :data:`INPUTS` after the other, float32, seen by two cameras Ks [2, 3, 3]."""

    inputs: tuple[torch.Tensor, ...]
    Ks: torch.Tensor
    width: int
    height: int


def random_scene(seed: int, count: int, width: int, height: int) -> Scene:
    """Gaussians of many sizes, shapes and opacities; the second camera stands among them and is turned at random."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    viewmats = torch.eye(4).repeat(2, 1, 1)
    viewmats[:, 2, 3] = torch.tensor([2.0, 0.3])
    viewmats[1, :3, :3] = reference.rotation_matrices(normal(1, 4))[0]
    focal = 1.2 * min(width, height)
    K = torch.tensor([[focal, 0.0, 0.53 * width], [0.0, 0.95 * focal, 0.47 * height], [0.0, 0.0, 1.0]])
    inputs = (
        normal(count, 3) * torch.tensor([0.8, 0.8, 0.6]),
        normal(count, 4) * 3.0,
        torch.exp(normal(count, 3) * NEEDLES[seed % len(NEEDLES)] - 2.5),
        torch.sigmoid(normal(count) * 4.0),
        torch.rand(count, 3, generator=generator),
        viewmats,
    )
    return Scene(inputs, K.repeat(2, 1, 1), width, height)


def parity(scenes: Sequence[Scene], one: Rasteriser, other: Rasteriser) -> dict[str, float]:
    """The largest disagreement of two rasterisers over all scenes.

    Returns:
        ``image`` and ``alpha``: the largest absolute difference at any pixel (colours and depth in metres; 0..1).
        ``mean_image``: the mean absolute difference, of the worst scene: a Gaussian at its cut-off may fall either way
        at single pixels. For each input, ``d_means`` and so on: the norm of the gradients' difference over the norm of
        ``other``'s gradient, under one random weight per pixel and channel.
    """
    worst: dict[str, float] = {}
    for number, scene in enumerate(scenes):
        mine, theirs = (_with_gradients(scene, each, number) for each in (one, other))
        differences = {
            "image": (mine[0] - theirs[0]).abs().max(),
            "mean_image": (mine[0] - theirs[0]).abs().mean(),
            "alpha": (mine[1] - theirs[1]).abs().max(),
        }
        for name, a, b in zip(INPUTS, mine[2], theirs[2], strict=True):
            differences[f"d_{name}"] = (a - b).norm() / b.norm()
        for name, value in differences.items():
            worst[name] = max(worst.get(name, 0.0), float(value))
    return worst


def _with_gradients(
    scene: Scene, rasterise: Rasteriser, seed: int
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Image, alpha and the gradients of every input, in float64 on the CPU."""
    inputs = [x.clone().requires_grad_() for x in scene.inputs]
    renders, alphas, _ = rasterise(*inputs, scene.Ks, scene.width, scene.height)
    renders, alphas = renders.cpu().double(), alphas.cpu().double()
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in (renders, alphas)]
    ((renders * weights[0]).sum() + (alphas * weights[1]).sum()).backward()
    return renders.detach(), alphas.detach(), [x.grad.double() for x in inputs if x.grad is not None]


def on_device(device: torch.device) -> Rasteriser:
    """The engine's rasteriser on a device, for inputs on the CPU, to which the gradients come back."""

    def rasterise(*values: torch.Tensor | int) -> tuple[torch.Tensor, torch.Tensor, object]:
        return rasterization(*(x.to(device) if isinstance(x, torch.Tensor) else x for x in values))  # type: ignore[arg-type]

    return rasterise


def draw_3dgs(count: int, size: int, device: torch.device, repeats: int = FRAMES) -> dict[str, float]:
    """The shell of ``count`` Gaussians in one image of ``size``² by the engine's rasteriser, without gradients."""
    splats, viewmats, Ks = _shell_on(count, size, device)
    return frames(lambda: rasterization(*values_of(splats), viewmats, Ks, size, size), device, repeats)


def draw_2dgs(count: int, size: int, device: torch.device, repeats: int = FRAMES) -> dict[str, float]:
    """The same as 2D Gaussians (arXiv 2403.17888) through gsplat, which draws them on CUDA alone."""
    from gsplat import rasterization_2dgs

    splats, viewmats, Ks = _shell_on(count, size, device)
    return frames(lambda: rasterization_2dgs(*values_of(splats), viewmats, Ks, size, size), device, repeats)


def drive_avatar(count: int, size: int, device: torch.device, repeats: int = FRAMES) -> dict[str, float]:
    """An avatar's Gaussians under changing keys and bones: mesh on the CPU, Gaussians on the device. Not drawn."""
    avatar, expressions = shell_avatar(count, device), cycle(_expressions())
    return frames(lambda: drive(avatar, *next(expressions)), device, repeats)


def preview(count: int, size: int, device: torch.device, repeats: int = FRAMES) -> dict[str, float]:
    """What the engine does for a changed frame of Blender's preview: drive, draw, bring the image to the CPU."""
    avatar, expressions = shell_avatar(count, device), cycle(_expressions())
    viewmat, K = (each[0].numpy() for each in portrait_camera(size))
    camera = Camera(viewmat, K, size, size)
    return frames(lambda: render(drive(avatar, *next(expressions)), camera), device, repeats)


@torch.no_grad()
def frames(work: Callable[[], object], device: torch.device, repeats: int = FRAMES) -> dict[str, float]:
    """``ms`` of a frame, waited for one by one, and the frames per second that follow."""
    taken = median_seconds(work, device, repeats)
    return {"FPS": 1 / taken, "ms": 1e3 * taken}


def _shell_on(count: int, size: int, device: torch.device) -> tuple[Splats, torch.Tensor, torch.Tensor]:
    splats = Splats(*(x.to(device) for x in values_of(head_shell(count))))
    viewmats, Ks = portrait_camera(size)
    return splats, viewmats.to(device), Ks.to(device)


def values_of(splats: Splats) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """In the order in which rasterisers take them."""
    return splats.means, splats.quats, splats.scales, splats.opacities, splats.colors


def _expressions() -> list[tuple[dict[str, float], dict[str, np.ndarray]]]:
    rng = np.random.default_rng(0)
    return [
        (
            {str(name): float(rng.random()) for name in rng.choice(ARKIT_NAMES, KEYS_AT_ONCE, replace=False)},
            {"neck": rng.normal(0, 0.1, 3), "jaw": rng.normal(0, 0.1, 3)},
        )
        for _ in range(DRIVEN)
    ]
