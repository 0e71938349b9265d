"""Photos and their tracking to a head, by a trained network: the learned systems as the pipeline calls them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch.nn import functional

from engine.device import CPU, moved
from engine.errors import HeadModelError
from engine.gaussians.eigenbasis import Eigenbasis, motion_features, padded
from engine.gaussians.gaussians import BoundGaussians, select
from engine.heads import load_head
from engine.heads.atlas import texels_for_count
from engine.heads.parametric import ParametricHead
from engine.heads.rig import make_rig
from engine.models.head_gaussians import HeadGaussians, kept_pairs
from engine.models.kit.conditions import MOTION
from engine.models.kit.eigenbasis import fidelity, fit_motion
from engine.models.learned.posed_images import PAINTED, PaintedTexture, driving_code, pose_images, put_on
from engine.models.learned.system import Encoded, LearnedSystem, Paint, UVMap
from engine.models.learned.weights import load, provenance, shipped
from engine.models.spec import NetworkSpec, Reconstruct
from engine.models.surface import Painted, paint
from engine.models.surface.beyond import add_beyond
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.tracking.tracked import Tracked, View

FAINT = 0.02  # opacity under which a Gaussian is left out
COMPONENTS = 8  # directions of the motion's basis: a rig evaluates each of them in every frame
FITTED, CHECKS = 64, 8  # random expressions of the fit, and of its test
DAMPING = 3e-4  # of the fit: there are hardly more samples than features
GAZE = 0.25  # rad, of the random expressions' eyes
SystemT = TypeVar("SystemT", bound=LearnedSystem)


@lru_cache(maxsize=2)
def trained(name: str, network: NetworkSpec, path: Path | None = None) -> LearnedSystem:
    """A system with trained weights, for the default head, on the CPU.

    Args:
        path: of a file that ``engine train`` wrote; None takes the weights that come with the engine.

    Raises:
        AssetError: they are missing or damaged.
    """
    path = path or shipped(name)
    about = provenance(path)
    system = network.build(about["preset"], load_head(), about["variant"])
    with torch.no_grad():
        load(system.network, path)
    system.weights = hashlib.sha256(path.read_bytes()).hexdigest()
    return system.eval().requires_grad_(False)


def with_weights(name: str, network: NetworkSpec, path: Path | None = None) -> Reconstruct:
    """How a network reconstructs with trained weights: a file's, or those that come with the engine.

    What it returns raises HeadModelError for another head model than the default one, for which they were trained, and
    AssetError where there are no weights.
    """
    return partial(_reconstruct, name, network, path)


def _reconstruct(
    name: str,
    network: NetworkSpec,
    path: Path | None,
    photos: Sequence[Photo],
    tracked: Tracked,
    head: ParametricHead,
    progress: Progress,
    count: int,
    seconds: float = 0.0,
    device: torch.device = CPU,
) -> HeadGaussians:
    if head.name != load_head().name:
        raise HeadModelError(
            f"The network {name} was trained on the default head and does not know {head.name}.",
            "Choose the system surface, or the default head.",
        )
    system = on_device(trained(name, network, path), device)
    return reconstruct_with(system, photos, tracked, head, progress, count, seconds)


def on_device(system: SystemT, device: torch.device) -> SystemT:
    """The system itself if it is there; otherwise a copy, whose memory is free again after its use."""
    return system if system.device == device else deepcopy(system).to(device)


@torch.no_grad()
def reconstruct_with(
    system: LearnedSystem,
    photos: Sequence[Photo],
    tracked: Tracked,
    head: ParametricHead,
    progress: Progress,
    count: int,
    seconds: float = 0.0,
) -> HeadGaussians:
    """What the network says at its own texels or pixels, carried to ``count`` texels; what the mattes show beyond that
    is filled in as ``surface`` does.

    The network works on the device that it is on: the painted photos go there once, and its answer comes back once.
    All else, the painting and what goes beyond it, is the CPU's.

    Args:
        seconds: budget of the system's own refinement, where it has one.

    Returns:
        The head, on the CPU.
    """
    resolution = texels_for_count(head.uv, head.uv_faces, count)
    painted = paint(photos, tracked.views, head, make_rig(head, tracked.neutral, tracked.joints), resolution)
    progress.update(0.3)
    texture = put_on(painted)
    images = pose_images(photos, tracked, head, coarse(texture, head, resolution), system.photo_size)
    images = moved(images, system.device)
    system = system.refined(images, seconds, progress)
    encoded = system.encode(images)
    made = finish(system, encoded, painted, painted.texture.owned, photos, tracked.views, head, progress)
    memory = system.remembered(encoded, tracked, texture, count, photos)
    return replace(made, memory=moved(memory, CPU))


def coarse(texture: PaintedTexture, head: ParametricHead, resolution: int) -> PaintedTexture:
    """A texture at the texels that networks read."""
    texels = UVMap(head, PAINTED)
    paint = Paint(head, texels.triangles, texels.barycentrics, resolution)
    return replace(texture, **{name: paint.read(getattr(texture, name)) for name in ("colors", "seen", "presence")})


def finish(
    system: LearnedSystem,
    encoded: Encoded,
    painted: Painted,
    shown: np.ndarray,
    photos: Sequence[Photo],
    views: Sequence[View],
    head: ParametricHead,
    progress: Progress,
) -> HeadGaussians:
    """What a network encoded to a head on the CPU: its motion as an eigenbasis and density raised, still on the
    network's device; hair and torso added.

    Args:
        shown: [N] 0..1, how squarely the photos that own the painted texels show them.
    """
    neutral = _animated(system, encoded, torch.zeros(MOTION, device=system.device))
    progress.update(0.5)
    eigenbasis, metrics = None, {}
    if system.moves:
        neutral, eigenbasis, decibels = fit_eigenbasis(system, encoded, neutral, progress)
        metrics["eigenbasis_db"] = round(decibels, 2)
    dense = moved(system.densified(encoded, neutral, eigenbasis, painted, shown), CPU)
    rig = moved(encoded.rig, CPU)
    gaussians, eigenbasis = dense.gaussians, dense.eigenbasis
    seen = torch.cat((dense.seen, torch.zeros(len(gaussians) - len(dense.seen))))
    owner = functional.pad(dense.owner, (0, len(gaussians) - len(dense.owner)), value=-1)
    keep = gaussians.opacities > FAINT
    if eigenbasis is not None:
        eigenbasis = replace(eigenbasis, basis=padded(eigenbasis.basis, len(keep))[:, keep])
    gaussians = select(gaussians, keep)
    mine = len(gaussians)
    with torch.enable_grad():  # it fits the torsos of further photos
        gaussians, from_photo, views = add_beyond(gaussians, head, rig, photos, views, painted.shoot)
    added = len(gaussians) - mine
    if eigenbasis is not None:
        eigenbasis = replace(eigenbasis, basis=padded(eigenbasis.basis, len(gaussians)))
    return HeadGaussians(
        rig,
        gaussians,
        torch.cat((dense.cover[keep], gaussians.scales[mine:])),
        torch.cat((seen[keep], torch.ones(added))),
        torch.cat((owner[keep], from_photo)),
        torch.zeros(len(gaussians), dtype=torch.bool),
        painted.shoot,
        kept_pairs(dense.pairs, keep.numpy()),
        views,
        eigenbasis,
        metrics,
    )


def _animated(system: LearnedSystem, encoded: Encoded, code: torch.Tensor) -> BoundGaussians:
    """The Gaussians under a motion code, in colours that a file can hold."""
    gaussians = system.animate(encoded, code)
    return replace(gaussians, colors=gaussians.colors.clamp(0, 1))


def fit_eigenbasis(
    system: LearnedSystem, encoded: Encoded, neutral: BoundGaussians, progress: Progress
) -> tuple[BoundGaussians, Eigenbasis, float]:
    """The network's own motion as a linear basis, and its fidelity on expressions that the fit did not see, in dB.

    Fit and test see expressions of one to four keys with weights even in 0..1, and eyes that turn a little.

    Returns:
        The Gaussians at rest as the fit has them, the basis, the fidelity.
    """
    rng = np.random.default_rng(0)
    rig = encoded.rig
    keys, joints = len(rig.expression_basis), len(rig.joints)
    eyes = [joint for joint in range(joints) if joint not in rig.chain]
    samples, features = [], []
    for row in range(FITTED + CHECKS):
        weights, rotations = np.zeros(keys), np.zeros((joints, 3))
        # every key gets its turn; what goes with it is chance
        chosen = np.union1d([row % keys], rng.choice(keys, rng.integers(0, 4), replace=False)).astype(int)
        weights[chosen] = rng.uniform(0.2, 1, len(chosen))
        rotations[eyes, :2] = rng.uniform(-GAZE, GAZE, 2)
        expression, turn = (torch.from_numpy(each).float().to(system.device) for each in (weights, rotations))
        samples.append(_animated(system, encoded, driving_code(rig, expression, turn)))
        features.append(motion_features(expression, turn))
        progress.update(0.5 + 0.4 * (row + 1) / (FITTED + CHECKS))
    codes = torch.stack(features)
    rest, eigenbasis = fit_motion(neutral, samples[:FITTED], codes[:FITTED], COMPONENTS, DAMPING)
    return rest, eigenbasis, fidelity(eigenbasis, rest, samples[FITTED:], codes[FITTED:])
