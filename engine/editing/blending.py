"""Mixes of two heads: everywhere alike (interpolation), or inside some regions only (replacement).

MATCH's applications (arXiv 2603.15811): (1 - γ) G_a + γ G_b with one γ, or with a mask over the texels as γ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch.nn import functional

from engine.avatar import Avatar
from engine.curves import smoothstep
from engine.editing.correspondence import GaussianPairs, correspond, partners, partners_basis, require_same_model
from engine.editing.edited import Edited, provenance
from engine.errors import AvatarError
from engine.formats.avatar_layout import LAYOUT
from engine.gaussians.eigenbasis import Eigenbasis, scale_offsets
from engine.gaussians.gaussians import PARTS, BoundGaussians, concatenate, select

BORDER = 0.008  # m around a replaced region over which it passes into the other head
BEYOND = {"hair": "scalp", "torso": "torso"}  # what lies beyond the mesh comes along with this region only
MOST_COMPONENTS = LAYOUT.limits["K"]  # directions of an eigenbasis
LEAST_OPACITY = 1e-4  # a Gaussian that faded below is left out


def interpolate(first: Avatar, second: Avatar, gamma: float, name: str | None = None) -> Edited:
    """The head between two: ``(1 - gamma) · first + gamma · second`` in mesh, keys, joints and Gaussians.

    At 0 and 1 the Gaussians are the inputs' own. In between, Gaussians without a partner in the other head (hair,
    clothes, what one photo did not show) fade. The result has no photo's views.

    Args:
        gamma: 0..1. name: of the result; by default both names.

    Raises:
        AvatarError: the heads are of different head models, or ``gamma`` is out of range.
    """
    require_same_model(first, second)
    if not 0 <= gamma <= 1:
        raise AvatarError(f"A gamma of {gamma} is out of range.", "Choose 0 (the first head) to 1 (the second).")
    if gamma in (0, 1):
        end = second if gamma else first
        gaussians, eigenbasis, notes = end.gaussians, end.eigenbasis, ()
    else:
        gaussians, eigenbasis, notes = _mix_gaussians(
            first, second, *(torch.full((len(x.gaussians),), gamma) for x in (first, second))
        )
    return Edited(
        replace(
            first,
            name=name or _joint_name(first, second),
            vertices=_lerp(first.vertices, second.vertices, gamma),
            key_deltas=_lerp(first.key_deltas, second.key_deltas, gamma),
            joint_positions=_lerp(first.joint_positions, second.joint_positions, gamma),
            skin_weights=_lerp(first.skin_weights, second.skin_weights, gamma),
            gaussians=gaussians,
            eigenbasis=eigenbasis,
            views=(),
            provenance=provenance("interpolate", {"gamma": gamma}, notes, first, second),
        ),
        notes,
    )


def replace_region(
    first: Avatar, second: Avatar, regions: Sequence[str], border: float = BORDER, name: str | None = None
) -> Edited:
    """The first head with some regions of the second.

    The second head's regions are brought to the first by the similarity (turn, shift, scale) that fits their
    surroundings, so that they grow on; a joint moves along where everything that follows it was replaced (ours).

    Args:
        regions: names from ``first.regions``, for instance ``["mouth_interior", "lips"]``.
        border: metres around the regions over which the mix fades to nothing; outside nothing changes.

    Raises:
        AvatarError: the heads are of different head models, or a region is unknown.
    """
    require_same_model(first, second)
    mask = _soft_mask(first, regions, border)
    rim = (mask > 0) & (mask < 1)
    frame = rim if rim.sum() >= 8 else mask > 0
    scale, turn, shift = _similarity(second.vertices[frame], first.vertices[frame])
    placed = _placed(second, scale, turn, shift)
    gaussians, eigenbasis, notes = _mix_gaussians(first, placed, *(_shares(x, mask, regions) for x in (first, placed)))
    share = mask[:, None]
    joints = first.joint_positions.copy()
    for j in range(len(joints)):
        follows = first.skin_weights[:, j + 1] > 0.5
        if follows.any() and mask[follows].min() > 0.99:
            joints[j] = placed.joint_positions[j]
    return Edited(
        replace(
            first,
            name=name or _joint_name(first, second),
            vertices=_lerp(first.vertices, placed.vertices, share),
            key_deltas=_lerp(first.key_deltas, placed.key_deltas, share),
            joint_positions=joints,
            gaussians=gaussians,
            eigenbasis=eigenbasis,
            provenance=provenance("replace", {"regions": list(regions), "border": border}, notes, first, second),
        ),
        notes,
    )


def _mix_gaussians(
    first: Avatar, second: Avatar, share_a: torch.Tensor, share_b: torch.Tensor
) -> tuple[BoundGaussians, Eigenbasis | None, tuple[str, ...]]:
    """Gaussians that are the second's by the shares 0..1 of the first's Gaussians [N] and of the second's [N']."""
    pairs = correspond(first, second)
    share = share_a[pairs.first]
    ours = select(first.gaussians, pairs.first)
    theirs = partners(second, ours, pairs)
    mixed = _lerp_gaussians(ours, theirs, share)
    touched = share > 0  # what is not touched stays bit by bit
    alone_a, alone_b = select(first.gaussians, pairs.lone_first), select(second.gaussians, pairs.lone_second)
    alone_a = replace(alone_a, opacities=alone_a.opacities * (1 - share_a[pairs.lone_first]))
    alone_b = replace(alone_b, opacities=alone_b.opacities * share_b[pairs.lone_second])
    alone = concatenate(alone_a, alone_b)
    fading = int((share_a[pairs.lone_first] > 0).sum() + (share_b[pairs.lone_second] > 0).sum())
    notes = []
    if pairs.resampled and bool(touched.any()):
        notes.append(
            f"{pairs.resampled} Gaussians of {second.name} lie elsewhere on the mesh; the nearest in UV were taken."
        )
    if fading:
        notes.append(f"{fading} Gaussians exist in one of the heads only; they fade.")
    seen = alone.opacities > LEAST_OPACITY
    components = sum(len(x.eigenbasis.basis) for x in (first, second) if x.eigenbasis is not None)
    if components > MOST_COMPONENTS:
        notes.append(
            f"The two heads' Gaussians change with keys and bones in {components} directions, and a file holds "
            f"{MOST_COMPONENTS}; they now only follow the mesh."
        )
    eigenbasis = None
    if 0 < components <= MOST_COMPONENTS:
        kept = torch.cat((torch.ones(len(mixed), dtype=torch.bool), seen))
        eigenbasis = _mix_eigenbases(first, second, ours, theirs, pairs, share, kept)
    return concatenate(mixed, select(alone, seen)), eigenbasis, tuple(notes)


def _mix_eigenbases(
    first: Avatar,
    second: Avatar,
    ours: BoundGaussians,
    theirs: BoundGaussians,
    pairs: GaussianPairs,
    share: torch.Tensor,
    kept: torch.Tensor,
) -> Eigenbasis:
    """Both heads' directions side by side: in each pair, a head's changes count by its ``share`` [M] (ours).

    Exact for offsets and colours; scales and opacities mix their relative changes.

    Args:
        ours, theirs: [M], the pairs' halves. kept: mask over the pairs, the first's lone ones and the second's.
    """
    halves = []
    lone_first, lone_second = len(pairs.lone_first), len(pairs.lone_second)
    if first.eigenbasis is not None:
        basis = first.eigenbasis.basis
        paired = basis[:, pairs.first] * (1 - share)[:, None]
        whole = torch.cat((paired, basis[:, pairs.lone_first], basis.new_zeros(len(basis), lone_second, 14)), dim=1)
        halves.append(Eigenbasis(whole[:, kept], first.eigenbasis.gains))
    if second.eigenbasis is not None:
        basis = second.eigenbasis.basis
        paired = partners_basis(second, basis, ours, pairs) * share[:, None]
        paired[..., 3:7] *= _nearer(ours.quats, theirs.quats)
        whole = torch.cat((paired, basis.new_zeros(len(basis), lone_first, 14), basis[:, pairs.lone_second]), dim=1)
        halves.append(Eigenbasis(whole[:, kept], second.eigenbasis.gains))
    return Eigenbasis(torch.cat([half.basis for half in halves]), torch.cat([half.gains for half in halves], dim=1))


def _lerp_gaussians(a: BoundGaussians, b: BoundGaussians, share: torch.Tensor) -> BoundGaussians:
    """Attribute by attribute; rotations along the shorter way. ``share`` [M] of the second."""
    w = share[:, None]
    nearer = _nearer(a.quats, b.quats) * b.quats
    return replace(
        a,
        offsets=torch.lerp(a.offsets, b.offsets, w),
        quats=torch.where(w > 0, functional.normalize(torch.lerp(a.quats, nearer, w), dim=1), a.quats),
        scales=torch.lerp(a.scales, b.scales, w),
        opacities=torch.lerp(a.opacities, b.opacities, share),
        colors=torch.lerp(a.colors, b.colors, w),
    )


def _nearer(quats: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """[M, 1]: 1 or -1, by which ``others`` [M, 4] lie on the side of ``quats`` [M, 4]."""
    return torch.where((quats * others).sum(1, keepdim=True) < 0, -1.0, 1.0)


def _shares(avatar: Avatar, mask: np.ndarray, regions: Sequence[str]) -> torch.Tensor:
    """[N] 0..1: the vertices' ``mask`` [V] where the Gaussians are anchored; hair and clothes by :data:`BEYOND`."""
    g = avatar.gaussians
    corners = torch.from_numpy(mask)[torch.from_numpy(avatar.faces).long()[g.triangles]]
    shares = (corners * g.barycentrics).sum(1).clamp(0, 1)  # an anchor a little outside must not leave the range
    for part, region in BEYOND.items():
        if region not in regions:
            shares = torch.where(g.parts == PARTS.index(part), 0.0, shares)
    return shares


def _soft_mask(avatar: Avatar, regions: Sequence[str], border: float) -> np.ndarray:
    """[V] float32: 1 in the regions, smoothly to 0 at ``border`` metres from them."""
    unknown = [name for name in regions if name not in avatar.regions]
    if unknown or not regions:
        raise AvatarError(
            f"{avatar.name} has no region {unknown[0]!r}." if unknown else "No region was named.",
            f"Choose from: {', '.join(avatar.regions)}.",
        )
    inside = np.logical_or.reduce([avatar.regions[name] for name in regions])
    if not inside.any() or border <= 0:
        return inside.astype(np.float32)
    distance, _ = cKDTree(avatar.vertices[inside]).query(avatar.vertices)
    return np.where(inside, 1, smoothstep(1 - distance / border)).astype(np.float32)


def _similarity(points: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """scale, rotation [3, 3] and shift [3] that carry ``points`` [N, 3] onto ``target`` with the least squared error
    (Umeyama 1991, doi 10.1109/34.88573)."""
    p, q = points.astype(np.float64), target.astype(np.float64)
    mean_p, mean_q = p.mean(axis=0), q.mean(axis=0)
    u, s, vt = np.linalg.svd((q - mean_q).T @ (p - mean_p) / len(p))
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = (u * sign) @ vt
    scale = float((s * sign).sum() / max(np.square(p - mean_p).sum() / len(p), 1e-12))
    return scale, turn, mean_q - scale * turn @ mean_p


def _placed(avatar: Avatar, scale: float, turn: np.ndarray, shift: np.ndarray) -> Avatar:
    """An avatar moved, turned and scaled; Gaussians live in triangles' frames and only scale."""

    def moved(points: np.ndarray) -> np.ndarray:
        return (scale * points @ turn.T + shift).astype(np.float32)

    g, eigenbasis = avatar.gaussians, avatar.eigenbasis
    return replace(
        avatar,
        vertices=moved(avatar.vertices),
        key_deltas=(scale * avatar.key_deltas @ turn.T).astype(np.float32),
        joint_positions=moved(avatar.joint_positions),
        gaussians=replace(g, offsets=g.offsets * scale, scales=g.scales * scale),
        eigenbasis=None if eigenbasis is None else scale_offsets(eigenbasis, scale),
    )


def _lerp(a: np.ndarray, b: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """float32 mix that is exactly ``a`` at 0 and exactly ``b`` at 1."""
    return np.where(np.asarray(share) == 1, b, a + np.float32(share) * (b - a)).astype(np.float32)


def _joint_name(first: Avatar, second: Avatar) -> str:
    return f"{first.name[:28]}-{second.name[:28]}"
