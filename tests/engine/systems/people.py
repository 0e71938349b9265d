"""A synthetic person, captured, given to the five fresh networks, and drawn; made once for all tests."""

from __future__ import annotations

from functools import lru_cache

import torch

from engine.gaussians.binding import pose, triangle_frames
from engine.gaussians.gaussians import BoundGaussians, Splats
from engine.heads import load_head
from engine.heads.parametric import ParametricHead
from engine.heads.rig import Rig
from engine.models.learned.posed_images import PosedImages, driving_code
from engine.models.learned.system import LearnedSystem
from engine.splatting import rasterization
from engine.synthetic import SyntheticSample, sample
from engine.synthetic.shelf import ShelvedSample
from engine.systems import make_system
from engine.training.objective import posed_sample
from engine.training.painted_textures import painted_texture

NAMES = ("match", "ffavatar", "avat3r", "uika", "flexavatar")
SEED, VIEWS, SIZE = 8, 6, 256


@lru_cache(maxsize=1)
def head() -> ParametricHead:
    return load_head()


@lru_cache(maxsize=1)
def person() -> SyntheticSample:
    return sample(SEED, VIEWS, SIZE, same_expression=False)


@lru_cache(maxsize=1)
def shelved() -> ShelvedSample:
    return ShelvedSample.of(person())


@lru_cache
def captured(photos: int) -> PosedImages:
    """The person's first photos."""
    views = range(photos)
    return posed_sample(shelved(), views, painted_texture(shelved(), views, head(), None), head())


@lru_cache
def system(name: str) -> LearnedSystem:
    """With fresh weights."""
    torch.manual_seed(0)
    return make_system(name, "small", head(), {}).eval().requires_grad_(False)


@lru_cache
def acted(name: str, photos: int, view: int) -> BoundGaussians:
    """What a fresh system makes of the first photos, under the expression of one of them."""
    taken, learned = captured(photos), system(name)
    encoded = learned.encode(taken)
    return learned.animate(encoded, driving_code(taken.rig, taken.expressions[view], taken.joint_rotations[view]))


def posed(gaussians: BoundGaussians, rig: Rig, expression: torch.Tensor, rotations: torch.Tensor) -> Splats:
    rest_areas = triangle_frames(rig.neutral, rig.faces)[1]
    return pose(gaussians, rig.deform(expression, rotations), rig.faces, rest_areas)


@torch.no_grad()
def drawn(splats: Splats, viewmat: torch.Tensor, K: torch.Tensor) -> torch.Tensor:
    """[S, S, 3] over white."""
    images, _, _ = rasterization(
        splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
        viewmat[None], K[None], SIZE, SIZE, backgrounds=torch.ones(1, 3),
    )  # fmt: skip
    return images[0, ..., :3].clamp(0, 1)


def decibels(image: torch.Tensor, goal: torch.Tensor, where: torch.Tensor) -> float:
    """PSNR of two images [S, S, 3] at the pixels of a mask."""
    return float(-10 * (image - goal)[where].square().mean().log10())
