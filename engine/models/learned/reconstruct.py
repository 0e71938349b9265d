"""Photos and their tracking to a head, by a trained network: the five systems as the pipeline calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from engine.errors import HeadModelError
from engine.gaussians.eigenbasis import Eigenbasis, motion_features
from engine.gaussians.gaussians import BoundGaussians, select
from engine.heads import load_head
from engine.heads.parametric import ParametricHead
from engine.models.kit.conditions import MOTION
from engine.models.kit.eigenbasis import fidelity, fit_eigenbasis
from engine.models.learned.capture import capture, driving_code
from engine.models.learned.registry import make_system
from engine.models.learned.system import Learned, Look
from engine.models.learned.weights import load, provenance, shipped
from engine.models.surface import HeadGaussians, kept_pairs
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.tracking.tracked import Tracked

FAINT = 0.02  # opacity under which a Gaussian is left out
COMPONENTS = 16  # directions of the baked motion
BLENDS, CHECKS = 24, 12  # random expressions of the fit beside the single keys, and of its test
GAZE = 0.25  # rad, of the random expressions' eyes


@lru_cache(maxsize=2)
def trained(name: str) -> Learned:
    """A system with the weights that come with the engine, for the default head.

    Raises:
        AssetError: they are missing or damaged.
    """
    path = shipped(name)
    about = provenance(path)
    system = make_system(name, about["preset"], load_head(), about["variant"])
    load(system.network, path)
    return system.eval().requires_grad_(False)


def learned(
    name: str, photos: Sequence[Photo], tracked: Tracked, head: ParametricHead, progress: Progress
) -> HeadGaussians:
    """Photos to Gaussians on the tracked head.

    Args:
        name: a key of the registry. head: the default one, for which the weights were trained.

    Raises:
        HeadModelError: another head model. AssetError: there are no weights.
    """
    if head.name != load_head().name:
        raise HeadModelError(
            f"The network {name} was trained on the default head and does not know {head.name}.",
            "Choose the system surface, or the default head.",
        )
    system = trained(name)
    with torch.no_grad():
        taken = capture(photos, tracked, head)
        progress.update(0.2)
        look = system.look(taken)
        progress.update(0.4)
        neutral = system.act(look, torch.zeros(MOTION))
        neutral = replace(neutral, colors=neutral.colors.clamp(0, 1))
        keep = neutral.opacities > FAINT
        eigenbasis, decibels = bake(system, look, neutral, keep, progress) if system.moves else (None, None)
    return HeadGaussians(
        look.rig,
        select(neutral, keep),
        look.trusted[keep],
        np.ones((len(photos), 3)),
        kept_pairs(look.pairs.numpy(), keep.numpy()),
        tracked.views,
        eigenbasis,
        {} if decibels is None else {"eigenbasis_db": round(decibels, 2)},
    )


def bake(
    system: Learned, look: Look, neutral: BoundGaussians, keep: torch.Tensor, progress: Progress
) -> tuple[Eigenbasis, float]:
    """The network's own motion as a linear basis, and its fidelity on expressions that the fit did not see, in dB.

    The fit sees every key alone and some blends of three; weights are even in 0..1, eyes turn a little.
    """
    rng = np.random.default_rng(0)
    keys, joints = len(look.rig.expression_basis), len(look.rig.joints)
    eyes = [j for j in range(joints) if not look.rig.skin_weights[:, j + 1].any() or j >= joints - 2]
    weights = np.zeros((keys + BLENDS + CHECKS, keys))
    weights[:keys] = np.eye(keys)
    rotations = np.zeros((len(weights), joints, 3))
    for row in range(keys, len(weights)):
        weights[row, rng.choice(keys, 3, replace=False)] = rng.uniform(0.2, 1, 3)
        rotations[row, eyes, :2] = rng.uniform(-GAZE, GAZE, 2)
    samples, features = [], []
    for row, (weight, rotation) in enumerate(zip(weights, rotations, strict=True)):
        expression, turn = torch.from_numpy(weight).float(), torch.from_numpy(rotation).float()
        samples.append(select(system.act(look, driving_code(look.rig, expression, turn)), keep))
        features.append(motion_features(expression, turn))
        progress.update(0.4 + 0.6 * (row + 1) / len(weights))
    codes, fitted = torch.stack(features), keys + BLENDS
    base = select(neutral, keep)
    eigenbasis = fit_eigenbasis(base, samples[:fitted], codes[:fitted], COMPONENTS)
    return eigenbasis, fidelity(eigenbasis, base, samples[fitted:], codes[fitted:])
