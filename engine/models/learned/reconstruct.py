"""Photos and their tracking to a head, by a trained network: the five systems as the pipeline calls them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from engine.errors import AvatarError, HeadModelError
from engine.gaussians.eigenbasis import Eigenbasis, motion_features, padded
from engine.gaussians.gaussians import BoundGaussians, concatenate, select
from engine.heads import load_head
from engine.heads.atlas import make_atlas, texels_for_count
from engine.heads.parametric import ParametricHead
from engine.heads.rig import make_rig
from engine.models.kit.conditions import MOTION
from engine.models.kit.eigenbasis import fidelity, fit_motion
from engine.models.learned.density import Density
from engine.models.learned.photo_memory import PhotoMemory, RememberedHead, lay_over
from engine.models.learned.point_systems import Avat3rSystem, FFAvatarSystem
from engine.models.learned.posed_images import PAINTED, PaintedTexture, driving_code, pose_images, put_on
from engine.models.learned.refinement import refined
from engine.models.learned.registry import make_system
from engine.models.learned.system import Encoded, LearnedSystem, Paint, UVMap
from engine.models.learned.uv_systems import FlexAvatarSystem, TexelSystem
from engine.models.learned.weights import load, provenance, shipped
from engine.models.reach import bounded, reach
from engine.models.surface import HeadGaussians, Painted, kept_pairs, paint, paint_on
from engine.models.surface.beyond import add_beyond
from engine.models.surface.texture import HALF
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.tracking.tracked import Tracked, View

FAINT = 0.02  # opacity under which a Gaussian is left out
COMPONENTS = 8  # directions of the baked motion: a rig evaluates each of them in every frame
FITTED, CHECKS = 64, 8  # random expressions of the fit, and of its test
DAMPING = 3e-4  # of the fit: there are hardly more samples than features
GAZE = 0.25  # rad, of the random expressions' eyes
REMAKE = "Reconstruct the head from all its photos at once."


@lru_cache(maxsize=2)
def trained(name: str) -> LearnedSystem:
    """A system with the weights that come with the engine, for the default head.

    Raises:
        AssetError: they are missing or damaged.
    """
    path = shipped(name)
    about = provenance(path)
    system = make_system(name, about["preset"], load_head(), about["variant"])
    with torch.no_grad():
        load(system.network, path)
    if isinstance(system, FFAvatarSystem):
        system.weights = hashlib.sha256(path.read_bytes()).hexdigest()
    return system.eval().requires_grad_(False)


def learned(
    name: str,
    photos: Sequence[Photo],
    tracked: Tracked,
    head: ParametricHead,
    progress: Progress,
    count: int,
    seconds: float,
) -> HeadGaussians:
    """Photos to Gaussians on the tracked head; see :func:`reconstruct_with`.

    Args:
        name: a key of the registry. head: the default one, for which the weights were trained.
        count: Gaussians on the surface. seconds: budget of the system's own refinement, if it has one.

    Raises:
        HeadModelError: another head model. AssetError: there are no weights.
    """
    if head.name != load_head().name:
        raise HeadModelError(
            f"The network {name} was trained on the default head and does not know {head.name}.",
            "Choose the system surface, or the default head.",
        )
    return reconstruct_with(trained(name), photos, tracked, head, progress, count, seconds)


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
    is filled in as ``surface`` does. FFAvatar's head also says what to keep, so that photos can be added.

    Args:
        seconds: budget of a system's own refinement; FlexAvatar has one.
    """
    resolution = texels_for_count(head.uv, head.uv_faces, count)
    painted = paint(photos, tracked.views, head, make_rig(head, tracked.neutral, tracked.joints), resolution)
    progress.update(0.3)
    texture = put_on(painted)
    taken = pose_images(photos, tracked, head, _coarse(texture, head, resolution), system.photo_size)
    if isinstance(system, FlexAvatarSystem):
        system = refined(system, taken, seconds, progress)
    encoded = system.encode(taken)
    made = _finish(system, encoded, painted, painted.texture.owned, photos, tracked.views, head, resolution, progress)
    if not isinstance(system, FFAvatarSystem):
        return made
    return RememberedHead(
        **vars(made), photo_memory=PhotoMemory.of(encoded.state.memory, tracked, texture, count, photos)
    )


def add(
    photo_memory: PhotoMemory, photos: Sequence[Photo], tracked: Tracked, head: ParametricHead, progress: Progress
) -> RememberedHead:
    """More photos of a known person, by ``ffavatar``; see :func:`add_with`."""
    return add_with(known_to(photo_memory, head), photo_memory, photos, tracked, head, progress)


def known_to(photo_memory: PhotoMemory, head: ParametricHead) -> FFAvatarSystem:
    """The system that made the memory.

    Raises:
        AvatarError: other weights than the engine's made it, or it is of another head model.
    """
    system = trained("ffavatar")
    assert isinstance(system, FFAvatarSystem)
    resolution = texels_for_count(head.uv, head.uv_faces, photo_memory.count)
    texels = int(make_atlas(head.uv, head.uv_faces, resolution).mask.sum())
    known = photo_memory.tracked
    sizes = len(known.neutral), len(known.joints), len(known.views[0].expression), len(photo_memory.texture.seen)
    if sizes != (len(head.template), len(head.joint_names), len(head.expression_names), texels):
        raise AvatarError("What was kept of the photos is of another head model.", REMAKE)
    if photo_memory.tokens.weights != system.weights:
        raise AvatarError("What was kept of the photos was made with other weights of ffavatar.", REMAKE)
    return system


@torch.no_grad()
def add_with(
    system: FFAvatarSystem,
    photo_memory: PhotoMemory,
    photos: Sequence[Photo],
    tracked: Tracked,
    head: ParametricHead,
    progress: Progress,
) -> RememberedHead:
    """The head after new photos, on the rig and at the density that it has (FFAvatar, arXiv 2606.30347).

    Old photos cost no more than the attention to their tokens. Only what the new photos show is left to refinement,
    which does not see the old ones.

    Args:
        tracked: the new photos', from :meth:`PhotoMemory.place`.
    """
    resolution = texels_for_count(head.uv, head.uv_faces, photo_memory.count)
    rig = make_rig(head, photo_memory.texture.neutral.numpy(), tracked.joints)
    fresh = paint_on(photos, tracked.views, head, rig, resolution)
    painted = lay_over(photo_memory.texture, fresh, head)
    progress.update(0.3)
    texture = put_on(painted)
    encoded = system.encode(
        pose_images(photos, tracked, head, _coarse(texture, head, resolution), system.photo_size), photo_memory.tokens
    )
    made = _finish(system, encoded, painted, fresh.texture.owned, photos, tracked.views, head, resolution, progress)
    return RememberedHead(**vars(made), photo_memory=photo_memory.extended(encoded.state.memory, texture, photos))


def _coarse(texture: PaintedTexture, head: ParametricHead, resolution: int) -> PaintedTexture:
    """A texture at the texels that networks read."""
    texels = UVMap(head, PAINTED)
    paint = Paint(head, texels.triangles, texels.barycentrics, resolution)
    return replace(texture, **{name: paint.read(getattr(texture, name)) for name in ("colors", "seen", "presence")})


def _finish(
    system: LearnedSystem,
    encoded: Encoded,
    painted: Painted,
    shown: np.ndarray,
    photos: Sequence[Photo],
    views: Sequence[View],
    head: ParametricHead,
    resolution: int,
    progress: Progress,
) -> HeadGaussians:
    """What a network encoded to a head: motion baked, density raised, hair and torso added. shown: [N] 0..1, how
    squarely the photos that own the painted texels show them."""
    neutral = _acted(system, encoded, torch.zeros(MOTION))
    progress.update(0.5)
    eigenbasis, metrics = None, {}
    if system.moves:
        neutral, eigenbasis, decibels = bake(system, encoded, neutral, progress)
        metrics["eigenbasis_db"] = round(decibels, 2)
    gaussians, cover, seen, pairs = neutral, encoded.spread, encoded.seen, encoded.pairs.numpy()
    owner = torch.full((len(neutral),), -1)
    if isinstance(system, (TexelSystem, FFAvatarSystem)):
        gaussians, eigenbasis = _finer(system, encoded, neutral, eigenbasis, painted, resolution)
        cover, seen = (torch.from_numpy(each).float() for each in (painted.scales, shown))
        pairs, owner = painted.pairs, torch.from_numpy(painted.texture.owner)
    elif isinstance(system, Avat3rSystem):  # behind its pixels, what they do not show, at full density
        pixels = torch.arange(len(neutral)) < len(encoded.triangles)
        unseen = torch.from_numpy((painted.texture.seen < HALF) & (painted.presence > 0))
        density, texture, state = Density(system.texels, painted, resolution), encoded.texture, encoded.state
        backdrop = _carried(density, state.backdrop, state.spread, texture.presence, texture.colors)
        gaussians = concatenate(select(neutral, pixels), select(backdrop, unseen))
        cover = torch.cat((cover, torch.from_numpy(painted.scales).float()[unseen]))
        if eigenbasis is not None:
            eigenbasis = replace(eigenbasis, basis=eigenbasis.basis[:, pixels])
    seen = torch.cat((seen, torch.zeros(len(gaussians) - len(seen))))
    owner = functional.pad(owner, (0, len(gaussians) - len(owner)), value=-1)
    keep = gaussians.opacities > FAINT
    if eigenbasis is not None:
        eigenbasis = replace(eigenbasis, basis=padded(eigenbasis.basis, len(keep))[:, keep])
    gaussians = select(gaussians, keep)
    mine = len(gaussians)
    with torch.enable_grad():  # it fits the torsos of further photos
        gaussians, from_photo, views = add_beyond(gaussians, head, encoded.rig, photos, views, painted.shoot)
    added = len(gaussians) - mine
    if eigenbasis is not None:
        eigenbasis = replace(eigenbasis, basis=padded(eigenbasis.basis, len(gaussians)))
    return HeadGaussians(
        encoded.rig,
        gaussians,
        torch.cat((cover[keep], gaussians.scales[mine:])),
        torch.cat((seen[keep], torch.ones(added))),
        torch.cat((owner[keep], from_photo)),
        torch.zeros(len(gaussians), dtype=torch.bool),
        painted.shoot,
        kept_pairs(pairs, keep.numpy()),
        views,
        eigenbasis,
        metrics,
    )


def _finer(
    system: TexelSystem | FFAvatarSystem,
    encoded: Encoded,
    neutral: BoundGaussians,
    eigenbasis: Eigenbasis | None,
    painted: Painted,
    resolution: int,
) -> tuple[BoundGaussians, Eigenbasis | None]:
    """The network's Gaussians at texels, and their motion, at the painted head's texels."""
    density = Density(system.texels, painted, resolution)
    texels = slice(len(neutral) - len(system.texels.triangles), None)  # FFAvatar's vertices come first
    some = torch.zeros(len(neutral), dtype=torch.bool)
    some[texels] = True
    colors = system.paint.read(encoded.texture.colors)
    finer = _carried(density, select(neutral, some), encoded.spread[texels], encoded.presence[texels], colors[texels])
    if eigenbasis is None:
        return finer, None
    return finer, density.eigenbasis(replace(eigenbasis, basis=eigenbasis.basis[:, texels]))


def _carried(
    density: Density, known: BoundGaussians, spread: torch.Tensor, presence: torch.Tensor, colors: torch.Tensor
) -> BoundGaussians:
    """:meth:`Density.gaussians`; single ones far from their skin (the trainings are short) are drawn back to where
    refinement could have them."""
    finer = density.gaussians(known, spread, presence, colors)
    return replace(finer, offsets=bounded(finer.offsets, reach(finer, density.coarse.head)))


def _acted(system: LearnedSystem, encoded: Encoded, code: torch.Tensor) -> BoundGaussians:
    """The Gaussians under a motion code, in colours that a file can hold."""
    gaussians = system.animate(encoded, code)
    return replace(gaussians, colors=gaussians.colors.clamp(0, 1))


def bake(
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
        expression, turn = torch.from_numpy(weights).float(), torch.from_numpy(rotations).float()
        samples.append(_acted(system, encoded, driving_code(rig, expression, turn)))
        features.append(motion_features(expression, turn))
        progress.update(0.5 + 0.4 * (row + 1) / (FITTED + CHECKS))
    codes = torch.stack(features)
    rest, eigenbasis = fit_motion(neutral, samples[:FITTED], codes[:FITTED], COMPONENTS, DAMPING)
    return rest, eigenbasis, fidelity(eigenbasis, rest, samples[FITTED:], codes[FITTED:])
