"""FlexAvatar (arXiv 2512.17717): completes a head from what is there, and a UNet moves its Gaussians."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch

from engine.gaussians.binding import pose, triangle_frames
from engine.gaussians.gaussians import BoundGaussians, Splats
from engine.heads.parametric import MOUTH, ParametricHead
from engine.models.flexavatar import FlexAvatar, FlexAvatarNetwork, HeadTexels, StaticHead, dynamic_texels
from engine.models.kit.rehearsal import (
    Rehearsal,
    built,
    only,
    shell_photos,
    square,
    texels_of_shell,
    then,
)
from engine.models.learned.posed_images import PosedImages
from engine.models.learned.reconstruct import with_weights
from engine.models.learned.system import Encoded, person
from engine.models.learned.texel_system import TexelSystem
from engine.models.spec import Contrast, Data, Losses, NetworkSpec, SystemSpec
from engine.perceptual import LPIPS
from engine.progress import Progress
from engine.splatting import rasterization
from engine.ssim import ssim_map

ITERATIONS = 20  # the paper's
RATE, WARM_UP = 5e-4, 5  # ours, as the weights below: Adam's first steps, whose moments know one photo, stay small
L1_WEIGHT, SSIM_WEIGHT, LPIPS_WEIGHT = 0.8, 0.2, 0.05


@dataclass(frozen=True)
class _Static:
    head: StaticHead
    texels: HeadTexels


class FlexAvatarSystem(TexelSystem):
    """FlexAvatar; tracking gives the mesh that drives it and, for "mix", the colours that its texels start from."""

    network: FlexAvatarNetwork
    dynamic: torch.Tensor
    moves = True

    def __init__(self, config: FlexAvatar, head: ParametricHead):
        super().__init__(head, config.resolution, config.image_size)
        self.config = config
        self.network = FlexAvatarNetwork(config)
        self.keep(dynamic=dynamic_texels(self.texels.regions, config.dynamic_regions, self.texels.atlas.mask))

    def encode(self, capture: PosedImages) -> Encoded:
        where = self.texels
        texels = HeadTexels(where.valid, where.positions(capture.rig.neutral)[where.valid], self.dynamic)
        painted = self.painted(capture)[None] if self.config.color == "mix" else None
        with self.precision():
            static = self.network.encode(capture.images[None], texels, painted)
        return self.answer(capture, _Static(static, texels))

    def splats(self, encoded: Encoded, code: torch.Tensor) -> Splats:
        static: _Static = encoded.state
        driving = code
        if self.config.position_map:
            rig = encoded.rig
            weights = code[: len(rig.expression_basis)]
            keyed = rig.neutral + torch.tensordot(weights, rig.expression_basis, dims=1)
            driving = self.texels.positions(keyed).permute(2, 0, 1)
        with self.precision():
            return person(self.network.move(static.head, static.texels, driving[None]))

    def refined(self, images: PosedImages, seconds: float, progress: Progress) -> FlexAvatarSystem:
        return refined(self, images, seconds, progress)


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
    rig, lpips = capture.rig, LPIPS().to(own.device)
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
                capture.viewmats[view][None], capture.Ks[view][None], size, size,
                backgrounds=torch.ones(1, 3, device=own.device),
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
    return torch.from_numpy(head.face_region(*MOUTH)).to(system.device)[system.texels.triangles]


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


def _rehearse(config: FlexAvatar, count: int, device: torch.device) -> Rehearsal:
    """FlexAvatar: encode once, the UNet in every frame, at all texels."""
    photos = shell_photos(count, *square(config), device)
    valid, surface, anchors = texels_of_shell(config.resolution, device)
    texels = HeadTexels(valid, surface, torch.ones(len(surface), dtype=torch.bool, device=device))
    driving = torch.zeros(*valid.shape, 3, device=device).masked_scatter(valid[..., None], surface).movedim(-1, 0)[None]
    network = built(FlexAvatarNetwork, config, device)

    def move(head: Any) -> Splats:
        return only(network.move(head, texels, driving))

    return Rehearsal((network,), then(lambda: network.encode(photos.images, texels), move), move, anchors)


NETWORK = NetworkSpec(
    config=FlexAvatar,
    system=FlexAvatarSystem,
    losses=Losses(mouth=1.0),  # the paper's
    data=Data(rebalanced=True),
    contrasts=(
        Contrast("position map > coefficients only", {"position_map": "false"}),
        Contrast("with > without rebalancing, rare expressions", data={"rebalanced": "false"}, rare=True),
    ),
    rehearse=_rehearse,
    published={
        "1 photo, create": "FlexAvatar 0.4 s",
        "1 photo, frame": "FlexAvatar 22 ms for UNet, rig and drawing",
    },
)
SPEC = SystemSpec(
    name="flexavatar",
    label="FlexAvatar",
    description="Network that completes a head from what is there. For a single photo; Gaussians of face, eyes and "
    "mouth also change with the expression",
    reconstruct=with_weights("flexavatar", NETWORK),
    seconds=16.5,
    own_refinement=12.0,
    network=NETWORK,
    order=5,
)
