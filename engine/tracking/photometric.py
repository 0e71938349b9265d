"""Photometric drive: a view polished through the splats, appearance fixed, landmarks kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn.functional import avg_pool2d

from engine.device import moved
from engine.gaussians.binding import pose, triangle_frames
from engine.gaussians.gaussians import BoundGaussians
from engine.heads.parametric import ParametricHead
from engine.heads.rig import Rig
from engine.photos.crop import FACE_LANDMARKS, crop_matrix, crop_target
from engine.photos.photo import CROP, Photo
from engine.splatting import rasterization
from engine.ssim import ssim_map
from engine.tracking.posing import FreeView
from engine.tracking.solver import EYES, IRISES, LIPS, SPEAKING
from engine.tracking.tracked import View

HALVING = 2  # the fit runs at half the crop's resolution: pose needs no more, and costs a quarter
STEPS = 30
RATES = {"expression": 0.02, "turn": 0.004, "shift": 0.0015, "joint_rotations": 0.012}
TORSO_RATES = {"joint_rotations": 0.02}
LANDMARK_WEIGHT = 0.02  # per squared multiple of LANDMARK_NOISE: outweighs the image as soon as landmarks leave
LANDMARK_NOISE = 2.5  # px
EXPRESSION_WEIGHT = 0.02
TURN_WEIGHT = 0.02  # of neck and head rotations against the landmark drive's


@dataclass(frozen=True)
class FinishedHead:
    """A finished head to compare photos with: its rig and Gaussians, on one device, and its head model."""

    rig: Rig
    gaussians: BoundGaussians
    head: ParametricHead


def landmark_points(head: ParametricHead, vertices: torch.Tensor) -> torch.Tensor:
    """[478, 3] the landmarks on deformed vertices [V, 3]."""
    arrays = head.faces[head.landmark_triangles].astype("int64"), head.landmark_barycentrics
    corners, barycentrics = (torch.from_numpy(each).to(vertices.device) for each in arrays)
    return (vertices[corners] * barycentrics[..., None]).sum(dim=1)


def drive_photometric(
    look: FinishedHead, photo: Photo, start: View, rates: Mapping[str, float] = RATES, steps: int = STEPS
) -> View:
    """Pose, torso and expression of a known person in a photo, from the landmark drive's answer ``start``.

    Minimises L1 + SSIM of the matted crop over white, with the landmarks' distances as a stiff penalty and the start's
    expression as a prior. The Gaussians are not touched; all of it happens on their device.

    Args:
        rates: learning rates of what is free, by the names of :class:`FreeView`; all that a photo can tell by default,
            :data:`TORSO_RATES` for the torso under a head that stays.
    """
    device = look.rig.neutral.device
    target = moved(crop_target(photo), device)
    goal = _halve((target.image + 1 - target.alpha) * target.valid)
    valid = _halve(target.valid)
    seen = torch.from_numpy(photo.landmarks[:, :2]).float().to(device)
    weights = torch.from_numpy(look.head.landmark_weights).float().clone()
    weights[[*LIPS, *EYES, *IRISES]] *= SPEAKING
    weights = weights.to(device)
    view = FreeView.of(view=start, rig=look.rig)
    expression, rotations = view.expression.clone(), view.joint_rotations.clone()
    optimizer = torch.optim.Adam(
        [{"params": [getattr(view, name).requires_grad_()], "lr": rate} for name, rate in rates.items()]
    )
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=0)
    rest_areas = triangle_frames(look.rig.neutral, look.rig.faces)[1]
    K = crop_matrix(view.K)
    K = torch.cat([K[:2] / HALVING, K[2:]])
    size = CROP // HALVING
    for _ in range(steps):
        vertices, viewmat = view.place(look.rig)
        s = pose(look.gaussians, vertices, look.rig.faces, rest_areas)
        renders, alphas, _ = rasterization(
            s.means, s.quats, s.scales, s.opacities, s.colors, viewmat[None], K[None], size, size
        )
        made = (renders[0, ..., :3] + 1 - alphas[0]) * valid
        l1 = (made - goal).abs().mean()
        ssim = 1 - ssim_map(made.permute(2, 0, 1)[None], goal.permute(2, 0, 1)[None]).mean()
        camera = landmark_points(look.head, vertices) @ viewmat[:3, :3].T + viewmat[:3, 3]
        pixels = camera @ view.K.T
        off = ((pixels[:, :2] / pixels[:, 2:] - seen) / LANDMARK_NOISE).square().sum(dim=1)
        landmarks = (weights * torch.log1p(off)).mean()
        drift = (view.expression - expression).square().sum()
        turned = (view.joint_rotations - rotations).square().sum()
        loss = 0.8 * l1 + 0.2 * ssim + LANDMARK_WEIGHT * landmarks + EXPRESSION_WEIGHT * drift + TURN_WEIGHT * turned
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        decay.step()
        with torch.no_grad():
            view.expression.clamp_(0, 1)
    return view.fixed(look.rig, float((off.detach().sqrt() * LANDMARK_NOISE)[:FACE_LANDMARKS].mean()))


def _halve(image: torch.Tensor) -> torch.Tensor:
    return avg_pool2d(image.permute(2, 0, 1)[None], HALVING)[0].permute(1, 2, 0)
