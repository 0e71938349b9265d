"""Chooses, merges and orders the Gaussians of a head that go to files for splat viewers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.avatar import Avatar, Pose, drive
from engine.exchange.outgoing.merging import covered
from engine.exchange.outgoing.seen import Seen, seen_from_outside
from engine.exchange.outgoing.thinning import thin
from engine.exchange.outgoing.undercoat import stays_under, undercoat
from engine.formats.viewers import VISIBLE
from engine.gaussians.binding import bind
from engine.gaussians.eigenbasis import Eigenbasis
from engine.gaussians.gaussians import BoundGaussians, Splats, concatenate, select
from engine.progress import Progress

HIDDEN = 3e-4  # of a splat shows in no picture from outside if it is not missed
OUTER = 0.02  # of it does at least if it is to be one of few
VIEWS, LOOKS = 32, 40  # directions to find out from what is seen, and whether the coat is


def outgoing(avatar: Avatar, poses: Sequence[Pose], progress: Progress, share: float, keep_hidden: bool) -> Avatar:
    """The same head with the Gaussians that go to files, on the CPU: drive it with any pose, and write what comes.

    What can never be seen is left out, a coat for small sizes comes in (:mod:`.undercoat`), and the largest and most
    opaque at rest come first, since viewers load from the front. So all poses have the same Gaussians in one order.

    Args:
        poses: in which it will be seen, or the most different of them.
        share: of the Gaussians that can be seen, 0 to 1: below 1 they are merged to so many, and what is hidden goes.
        keep_hidden: leave in what none of the poses shows from outside.

    Raises:
        AvatarError: the avatar has no such key or joint. Cancelled: the user asked to stop.
    """
    rest = drive(avatar, {})
    posed = [drive(avatar, pose.expression, pose.joint_rotations) for pose in poses]
    visible = torch.stack([splats.opacities for splats in (rest, *posed)]).amax(dim=0) >= VISIBLE
    gaussians, basis = _on_cpu(avatar)
    if not visible.any():
        return _with(avatar, select(gaussians, visible.cpu()), basis, np.zeros(0, np.int64))
    share_of_time = VIEWS / (VIEWS + LOOKS)
    seen = _seen(rest, posed, VIEWS, progress, 0.0, share_of_time)
    least = (HIDDEN if share == 1 else OUTER) * covered(_picked(rest, np.arange(len(gaussians))))
    chosen = visible.cpu().numpy() & (keep_hidden or seen.most > least)
    models = np.flatnonzero(chosen)
    there = _picked(rest, models)
    made = select(gaussians, torch.from_numpy(chosen))
    if share < 1:
        fewer = thin(there, seen.of(models), max(1, round(share * int(visible.sum()))))
        there, models = fewer.splats, models[fewer.models]
        made = _bound(avatar, gaussians, fewer.splats, models)
    coat = undercoat(there, seen.of(models))
    models = np.concatenate((models, models[coat.models]))
    both = concatenate(made, _bound(avatar, gaussians, coat.splats, models[len(made) :]))
    dressed = _with(avatar, both, basis, models)
    posed = [drive(dressed, pose.expression, pose.joint_rotations) for pose in poses]
    shown = _seen(drive(dressed, {}), posed, LOOKS, progress, share_of_time, 1 - share_of_time).most
    under = np.ones(len(models), bool)
    under[len(made) :] = stays_under(coat.splats, shown[len(made) :])
    order = torch.argsort(-both.scales.prod(dim=1) * both.opacities, stable=True)
    order = order[torch.from_numpy(under)[order]]
    return _with(avatar, select(both, order), basis, models[order.numpy()])


def most_different(poses: Sequence[Pose], count: int) -> list[Pose]:
    """A few poses that stand for many: the first, and always the one farthest from all that were chosen before."""
    names = sorted({name for pose in poses for name in pose.expression})
    table = np.array([[pose.expression.get(name, 0.0) for name in names] for pose in poses])
    chosen, apart = [0], np.full(len(poses), np.inf)
    while len(chosen) < min(count, len(poses)):
        apart = np.minimum(apart, np.abs(table - table[chosen[-1]]).sum(axis=1))
        chosen.append(int(apart.argmax()))
    return [poses[number] for number in chosen]


def _seen(rest: Splats, posed: Sequence[Splats], views: int, progress: Progress, start: float, share: float) -> Seen:
    """What is seen in any of the poses, with directions turned along to where the head is at rest."""
    found = []
    home, each = _turns(rest), share / len(posed)
    for number, splats in enumerate(posed):
        seen = seen_from_outside(splats, views, progress, start + number * each, each)
        found.append(replace(seen, toward=(home * _turns(splats).inv()).apply(seen.toward)))
    toward = np.sum([seen.toward * seen.total[:, None] for seen in found], axis=0)
    return Seen(
        np.sum([seen.total for seen in found], axis=0),
        np.maximum.reduce([seen.most for seen in found]),
        toward / np.linalg.norm(toward, axis=1, keepdims=True).clip(1e-12),
    )


def _turns(splats: Splats) -> Rotation:
    return Rotation.from_quat(splats.quats.double().cpu().numpy(), scalar_first=True)


def _picked(splats: Splats, places: np.ndarray) -> Splats:
    return Splats(*(value.cpu()[torch.from_numpy(places)] for value in vars(splats).values()))


def _on_cpu(avatar: Avatar) -> tuple[BoundGaussians, torch.Tensor | None]:
    gaussians = BoundGaussians(*(value.cpu() for value in vars(avatar.gaussians).values()))
    return gaussians, None if avatar.eigenbasis is None else avatar.eigenbasis.basis.cpu()


def _bound(avatar: Avatar, gaussians: BoundGaussians, splats: Splats, models: np.ndarray) -> BoundGaussians:
    """Splats of the head at rest that move with those which they stand for."""
    places = torch.from_numpy(models)
    return bind(
        splats.means,
        splats.quats,
        splats.scales,
        splats.opacities,
        splats.colors,
        gaussians.parts[places],
        torch.from_numpy(avatar.vertices),
        torch.from_numpy(avatar.faces),
        gaussians.triangles[places],
        gaussians.barycentrics[places],
    )


def _with(avatar: Avatar, gaussians: BoundGaussians, basis: torch.Tensor | None, models: np.ndarray) -> Avatar:
    if avatar.eigenbasis is None or basis is None:
        return replace(avatar, gaussians=gaussians)
    moving = Eigenbasis(basis[:, torch.from_numpy(models)], avatar.eigenbasis.gains.cpu())
    return replace(avatar, gaussians=gaussians, eigenbasis=moving)
