"""FlexAvatar's own refinement: the network's reconstruction part once more against the photos it was given."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import replace

import torch

from engine.gaussians.binding import pose, triangle_frames
from engine.gaussians.gaussians import BoundGaussians
from engine.models.flexavatar import MOUTH, FlexAvatarNetwork
from engine.models.learned.posed_images import PosedImages
from engine.models.learned.uv_systems import FlexAvatarSystem
from engine.perceptual import LPIPS
from engine.progress import Progress
from engine.splatting import rasterization
from engine.ssim import ssim_map

ITERATIONS = 20  # the paper's
RATE, WARM_UP = 5e-4, 5  # ours, as the weights below: Adam's first steps, whose moments know one photo, stay small
L1_WEIGHT, SSIM_WEIGHT, LPIPS_WEIGHT = 0.8, 0.2, 0.05


def refined(system: FlexAvatarSystem, capture: PosedImages, seconds: float, progress: Progress) -> FlexAvatarSystem:
    """The system for one person: θ_E optimised with L1 + SSIM + LPIPS over the photos, each over white, the UNet
    frozen, without a say of the mouth's texels (arXiv 2512.17717, refinement).

    Args:
        seconds: wall-clock budget; 0 gives ``system`` itself. At most :data:`ITERATIONS` iterations are done.

    Returns:
        A copy: ``system`` stays as it is. Every iteration takes the next photo.

    Raises:
        Cancelled: the user asked to stop.
    """
    if seconds <= 0:
        return system
    own = deepcopy(system)
    network: FlexAvatarNetwork = own.network.requires_grad_(True)
    network.encoder.requires_grad_(not own.config.encoder.frozen)
    parameters = list(network.reconstruction_parameters())
    network.unet.requires_grad_(False)
    optimizer = torch.optim.Adam(parameters, lr=RATE)
    rig, lpips = capture.rig, LPIPS()
    mouth = mouth_texels(own)
    rest_areas = triangle_frames(rig.neutral, rig.faces)[1]
    size = capture.images.shape[-1]
    begun = time.perf_counter()
    with torch.enable_grad():
        for iteration in range(ITERATIONS):
            if time.perf_counter() - begun >= seconds:
                break
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1, (iteration + 1) / WARM_UP)
            view = iteration % len(capture.images)
            gaussians = own.animate(own.encode(capture), capture.motions[view])
            splats = pose(without_say(gaussians, mouth), capture.posed[view], rig.faces, rest_areas)
            renders, _, _ = rasterization(
                splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
                capture.viewmats[view][None], capture.Ks[view][None], size, size, backgrounds=torch.ones(1, 3),
            )  # fmt: skip
            image, goal = renders[..., :3].permute(0, 3, 1, 2), capture.images[view][None]
            loss = L1_WEIGHT * (image - goal).abs().mean() + SSIM_WEIGHT * (1 - ssim_map(image, goal).mean())
            loss = loss + LPIPS_WEIGHT * lpips(image, goal).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            progress.update(0.3 + 0.1 * (iteration + 1) / ITERATIONS)
    return own.requires_grad_(False)


def mouth_texels(system: FlexAvatarSystem) -> torch.Tensor:
    """[N] bool, Gaussians of lips, teeth, tongue and what is behind them."""
    head = system.texels.head
    return torch.from_numpy(head.face_region(*MOUTH))[system.texels.triangles]


def without_say(gaussians: BoundGaussians, which: torch.Tensor) -> BoundGaussians:
    """The same Gaussians; no gradient passes to some [N] of them."""
    names = ("offsets", "quats", "scales", "opacities", "colors")
    fields = {name: getattr(gaussians, name) for name in names}
    return replace(
        gaussians,
        **{
            name: torch.where(which.view(-1, *[1] * (field.ndim - 1)), field.detach(), field)
            for name, field in fields.items()
        },
    )
