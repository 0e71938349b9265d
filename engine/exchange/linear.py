"""Looks of splats for programs that blend in linear light, as Blender 5.3 does, so that they show what was trained.

Ours are trained to be blended as they are displayed, in sRGB. Such a program decodes each splat's colour and blends
what comes, which is brighter: the mean of decoded colours is above the decoded mean. The blended picture is linear in
the decoded colours, so they are found by least squares: by SIRT (Gilbert 1972, doi:10.1016/0022-5193(72)90180-4), whose
two sums of blending weights are gradients of the rasteriser. Where colours do not do it, opacities follow the gradient.
docs/conventions.md has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from engine.avatar import Avatar, Pose, drive
from engine.gaussians.gaussians import PARTS, Splats
from engine.progress import Progress
from engine.rendering import Camera, orbit_around, render
from engine.splatting import rasterization

VIEWS, SIZE = 16, 384  # cameras around the head, px a side of their pictures
SWEEPS = 4  # over all of them
HIGHEST = math.radians(40)  # that a camera stands above or below the head
GREY = 0.5  # sRGB, behind the head: between the backgrounds that it may come before
CLOSER = 1.5  # than pictures of a head are: the hair fills them, since the more pixels, the less is blended
REACH = 2.0  # standard deviations of a splat that have to be in the picture
UNSEEN = 1e-6  # px², of a splat in all pictures
RATE, FARTHEST = 0.15, 3.0  # of opacities' logits: their first steps, a view each, and the most that they move
STILL = 1e-3  # slope of the error in a logit, from which it hardly moves
OPEN_MOUTH = {"jawOpen": 0.6, "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}


@dataclass(frozen=True)
class View:
    """What is looked at: posed splats, whose colours are those to be displayed, and from where."""

    splats: Splats
    camera: Camera


def for_linear_light(avatar: Avatar, poses: Sequence[Pose] | None, progress: Progress) -> Avatar:
    """The head with colours and opacities that, blended in linear light and encoded, look as its own do in sRGB.

    Args:
        poses: in which it will be seen; at rest and with an open mouth if None.

    Returns:
        The head with other colours, within 0..1 (Blender's EEVEE keeps colours in 8 bits over the range of a cloud's,
        and has no value for those below black), and other opacities: dark hair over bright skin would have to be
        darker than black, so there is more of it instead.

    Raises:
        AvatarError: the avatar has no such key or joint. Cancelled: the user asked to stop.
    """
    if not len(avatar.gaussians):
        return avatar
    if poses is None:
        poses = [Pose(), Pose({name: weight for name, weight in OPEN_MOUTH.items() if name in avatar.key_names})]
    posed = [drive(avatar, pose.expression, pose.joint_rotations) for pose in poses]
    views = [View(posed[number % len(posed)], camera) for number, camera in enumerate(_around(avatar))]
    colors, opacities = fit(avatar.gaussians.colors, avatar.gaussians.opacities, views, SWEEPS, progress)
    return replace(avatar, gaussians=replace(avatar.gaussians, colors=colors, opacities=opacities))


def fit(
    colors: torch.Tensor, opacities: torch.Tensor, views: Sequence[View], sweeps: int, progress: Progress
) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours [N, 3] and opacities [N] for which linear blending gives the views' pictures, by least squares.

    Args:
        colors, opacities: at rest, as they are displayed. What an eigenbasis adds to them in a view stays as it is.
        views: whose pictures, as they are displayed over :data:`GREY`, are fitted.

    Raises:
        Cancelled: the user asked to stop.
    """
    progress.start("light")
    wanted = []
    for number, view in enumerate(views):
        progress.update(number / len(views) / (sweeps + 1))
        wanted.append(render(view.splats, view.camera).over(GREY).to(colors))
    light = before = decode(colors.clamp(0, 1))
    weights, shift = torch.zeros_like(light), torch.zeros_like(opacities)
    descent = torch.optim.Adam([shift], betas=(0.9, 0.99), eps=STILL)
    for sweep in range(sweeps):
        ahead = (light + sweep / (sweep + 3) * (light - before)).clamp(0, 1)  # Nesterov's: some times as fast
        descent.param_groups[0]["lr"] = RATE * (1 - sweep / sweeps)
        step = torch.zeros_like(light)
        for number, (view, target) in enumerate(zip(views, wanted, strict=True)):
            progress.update((sweep + 1 + number / len(views)) / (sweeps + 1))
            shown = decode((encode(ahead) + view.splats.colors - colors).clamp(0, 1)).requires_grad_()
            cover = shifted(view.splats.opacities, shift).requires_grad_()
            with torch.enable_grad():
                picture, alpha = _drawn(view.splats, cover, shown, view.camera)
                over_grey = encode(picture + (1 - alpha) * decode(alpha.new_tensor(GREY)))
            if sweep == 0:
                counts = _slope(decode(target)) ** 2 * alpha.detach()
                weights += torch.autograd.grad(picture, shown, counts, retain_graph=True)[0]
            lighter, denser = torch.autograd.grad(over_grey, (shown, cover), target - over_grey.detach())
            step += lighter
            shift.grad = -denser * (cover * (1 - cover)).detach()
            descent.step()
            shift.clamp_(-FARTHEST, FARTHEST)
        light, before = (ahead + step / weights.clamp(min=UNSEEN)).clamp(0, 1), light
    progress.finish()
    return encode(light), shifted(opacities, shift)


def shifted(opacities: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Opacities whose logits are moved; 0 and 1 stay."""
    odds = shift.exp()
    return opacities * odds / (1 + opacities * (odds - 1))


def decode(colors: torch.Tensor) -> torch.Tensor:
    """sRGB, 0 and up, to linear light, as Blender does it with splats' colours: above white the curve goes on."""
    return torch.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def encode(light: torch.Tensor) -> torch.Tensor:
    """Linear light, 0 and up, to sRGB."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def _slope(light: torch.Tensor) -> torch.Tensor:
    """Of :func:`encode`."""
    return torch.where(light <= 0.0031308, 12.92, 1.055 / 2.4 * light.clamp(min=0.0031308) ** (1 / 2.4 - 1))


def _drawn(
    splats: Splats, opacities: torch.Tensor, colors: torch.Tensor, camera: Camera
) -> tuple[torch.Tensor, torch.Tensor]:
    """[H, W, 3] premultiplied, [H, W, 1]: splats with other opacities and colours."""
    viewmat, K = (splats.means.new_tensor(matrix)[None] for matrix in (camera.viewmat, camera.K))
    pictures, alphas, _ = rasterization(
        splats.means, splats.quats, splats.scales, opacities, colors, viewmat, K, camera.width, camera.height
    )
    return pictures[0, ..., :3], alphas[0]


def _around(avatar: Avatar) -> list[Camera]:
    """Cameras around all but the torso: a turn by the golden angle each, with every height once."""
    golden = math.pi * (3 - math.sqrt(5))
    heights = [HIGHEST * (2 * (number + 0.5) / VIEWS - 1) for number in range(VIEWS)]
    splats, is_torso = drive(avatar, {}), avatar.gaussians.parts == PARTS.index("torso")
    shown = slice(None) if is_torso.all() else ~is_torso
    reach = REACH * splats.scales[shown].amax(dim=1, keepdim=True)
    ends = torch.cat((splats.means[shown] - reach, splats.means[shown] + reach)).cpu().numpy()
    cameras = [orbit_around(ends, golden * number, height, SIZE, SIZE) for number, height in enumerate(heights)]
    return [replace(camera, K=camera.K * ((CLOSER, 1, 1), (1, CLOSER, 1), (1, 1, 1))) for camera in cameras]
