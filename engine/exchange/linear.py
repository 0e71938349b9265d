"""Colours for programs that blend splats in linear light, as Blender 5.3 does, so that they show what was trained.

Ours are trained to be blended as they are displayed, in sRGB. Such a program decodes each splat's colour and blends
what comes, which is brighter: the mean of decoded colours is above the decoded mean. The picture is linear in the
decoded colours, so they are found by least squares: by SIRT (Gilbert 1972, doi:10.1016/0022-5193(72)90180-4), whose two
sums of blending weights are gradients of the rasteriser. docs/conventions.md has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from engine.avatar import Avatar, Pose, drive
from engine.gaussians.gaussians import PARTS, Splats
from engine.progress import Progress
from engine.rendering import Camera, orbit_around
from engine.splatting import rasterization

VIEWS, SIZE = 16, 384  # cameras around the head, px a side of their pictures
SWEEPS = 3  # over all of them
HIGHEST = math.radians(40)  # that a camera stands above or below the head
GREY = 0.5  # sRGB, behind the head: between the backgrounds that it may come before
DARKEST = 1e-3  # linear: what is darker counts as this, or black would count for more than all else
REACH = 2.0  # standard deviations of a splat that have to be in the picture
UNSEEN = 1e-6  # px², of a splat in all pictures
OPEN_MOUTH = {"jawOpen": 0.6, "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}


@dataclass(frozen=True)
class View:
    """What is looked at: posed splats, whose colours are those to be displayed, and from where."""

    splats: Splats
    camera: Camera


def for_linear_light(avatar: Avatar, poses: Sequence[Pose] | None, progress: Progress) -> Avatar:
    """The head with colours that, blended in linear light and encoded, look as its own do blended in sRGB.

    Args:
        poses: in which it will be seen; at rest and with an open mouth if None.

    Returns:
        The head with other colours, within 0..1: Blender's EEVEE keeps colours in 8 bits over the range of a cloud's,
        and has no value for those below black.

    Raises:
        AvatarError: the avatar has no such key or joint. Cancelled: the user asked to stop.
    """
    if not len(avatar.gaussians):
        return avatar
    if poses is None:
        poses = [Pose(), Pose({name: weight for name, weight in OPEN_MOUTH.items() if name in avatar.key_names})]
    posed = [drive(avatar, pose.expression, pose.joint_rotations) for pose in poses]
    views = [View(posed[number % len(posed)], camera) for number, camera in enumerate(_around(avatar))]
    colors = fit(avatar.gaussians.colors, views, SWEEPS, progress)
    return replace(avatar, gaussians=replace(avatar.gaussians, colors=colors))


def fit(colors: torch.Tensor, views: Sequence[View], sweeps: int, progress: Progress) -> torch.Tensor:
    """Colours [N, 3], sRGB 0..1, for which linear blending gives the views' pictures, in the sense of least squares.

    Args:
        colors: [N, 3] sRGB at rest. What a view's differ from them by, as an eigenbasis makes it, stays as it is.
        views: whose pictures, over :data:`GREY`, are fitted; a difference counts as it shows when displayed.

    Raises:
        Cancelled: the user asked to stop.
    """
    progress.start("light")
    targets = []
    for number, view in enumerate(views):
        progress.update(number / len(views) / (sweeps + 1))
        targets.append(_target(view))
    light = before = decode(colors.clamp(0, 1))
    weights = torch.zeros_like(light)
    for sweep in range(sweeps):
        ahead = (light + (sweep / (sweep + 3)) * (light - before)).clamp(0, 1)  # Nesterov's: thrice as fast
        step = torch.zeros_like(light)
        for number, (view, (wanted, counts)) in enumerate(zip(views, targets, strict=True)):
            progress.update((sweep + 1 + number / len(views)) / (sweeps + 1))
            change = view.splats.colors - colors
            shown = decode((encode(ahead) + change).clamp(0, 1)).requires_grad_()
            with torch.enable_grad():
                picture, alpha = _drawn(view, shown)
            if sweep == 0:
                weights += torch.autograd.grad(picture, shown, counts * alpha.detach(), retain_graph=True)[0]
            step += torch.autograd.grad(picture, shown, counts * (wanted - picture.detach()))[0]
        light, before = (ahead + step / weights.clamp(min=UNSEEN)).clamp(0, 1), light
    progress.finish()
    return encode(light)


def decode(colors: torch.Tensor) -> torch.Tensor:
    """sRGB, 0 and up, to linear light, as Blender does it with splats' colours: above white the curve goes on."""
    return torch.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def encode(light: torch.Tensor) -> torch.Tensor:
    """Linear light, 0 and up, to sRGB."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


@torch.no_grad()
def _target(view: View) -> tuple[torch.Tensor, torch.Tensor]:
    """[H, W, 3] what the splats have to add up to in linear light, and how much a difference from it counts."""
    picture, alpha = _drawn(view, view.splats.colors)
    over_grey = decode((picture + (1 - alpha) * GREY).clamp(0, 1))
    bright = over_grey.clamp(min=DARKEST)
    slope = torch.where(bright <= 0.0031308, 12.92, 1.055 / 2.4 * bright ** (1 / 2.4 - 1))  # of :func:`encode`
    return over_grey - (1 - alpha) * decode(torch.tensor(GREY)).to(alpha), slope**2


def _drawn(view: View, colors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[H, W, 3] premultiplied, [H, W, 1]: the view's splats in other colours."""
    splats, camera = view.splats, view.camera
    viewmat, K = (splats.means.new_tensor(matrix)[None] for matrix in (camera.viewmat, camera.K))
    pictures, alphas, _ = rasterization(
        splats.means, splats.quats, splats.scales, splats.opacities, colors, viewmat, K, camera.width, camera.height
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
    return [orbit_around(ends, golden * number, height, SIZE, SIZE) for number, height in enumerate(heights)]
