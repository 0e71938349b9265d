"""Which Gaussian of one avatar is which of another of the same head model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from engine.avatar import Avatar
from engine.errors import AvatarError
from engine.gaussians.binding import triangle_frames
from engine.gaussians.gaussians import PARTS, BoundGaussians, at_anchors, select
from engine.gaussians.rotations import matrix_to_quat, quat_multiply

REACH = 1.5  # times the spacing in the UV atlas, within which the nearest Gaussian stands for the same place
SAME_PLACE = 1e-4  # of barycentric coordinates


@dataclass(frozen=True)
class GaussianPairs:
    """Pairs of Gaussians of a first and a second avatar.

    Attributes:
        first: [M] int64 of the first avatar, each at most once. second: [M] int64 of the second.
        lone_first: [K] int64, those of the first without a partner; lone_second: [L] int64.
        resampled: how many pairs do not lie at the same place of the same triangle.
        spread: the first's spacing in the atlas over the second's, by which a resampled Gaussian grows.
    """

    first: torch.Tensor
    second: torch.Tensor
    lone_first: torch.Tensor
    lone_second: torch.Tensor
    resampled: int
    spread: float


def require_same_model(*avatars: Avatar) -> None:
    """Editing needs one mesh, one atlas, the same keys and joints.

    Raises:
        AvatarError: names the two avatars that differ and their head models.
    """
    first = avatars[0]
    for other in avatars[1:]:
        models = [str(avatar.provenance.get("head_model", {}).get("name", "unknown")) for avatar in (first, other)]
        if models[0] != models[1]:
            raise AvatarError(
                f"{first.name} has the head model {models[0]}, {other.name} has {models[1]}.",
                "Reconstruct both with the same --head.",
            )
        same = first.key_names == other.key_names and first.joint_names == other.joint_names
        arrays = ("faces", "uv", "uv_faces", "joint_parents")
        if not same or any(not np.array_equal(getattr(first, x), getattr(other, x)) for x in arrays):
            raise AvatarError(
                f"{first.name} and {other.name} both have the head model {models[0]}, but its meshes differ.",
                "They were made by different versions: reconstruct the older one again.",
            )


def correspond(first: Avatar, second: Avatar) -> GaussianPairs:
    """Pair the Gaussians of two avatars of one head model.

    Equal bindings pair one to one, whatever the parts. Otherwise each surface Gaussian of the first takes the nearest
    one of the second in the UV atlas, if that is near; hair and clothes beyond the mesh, which have no place in the
    atlas, stay without partners (ours: MATCH's Gaussians always are texels, arXiv 2603.15811).
    """
    a, b = first.gaussians, second.gaussians
    if _same_places(a, b):
        every, none = torch.arange(len(a)), torch.arange(0)
        return GaussianPairs(every, every, none, none, 0, 1.0)
    on_a, on_b = (torch.nonzero(g.parts == PARTS.index("surface"))[:, 0] for g in (a, b))
    uv_a, uv_b = (_uv(avatar)[on] for avatar, on in ((first, on_a.numpy()), (second, on_b.numpy())))
    if not len(uv_a) or not len(uv_b):
        none = torch.arange(0)
        return GaussianPairs(none, none, torch.arange(len(a)), torch.arange(len(b)), 0, 1.0)
    tree_a, tree_b = cKDTree(uv_a), cKDTree(uv_b)
    step_a, step_b = _spacing(uv_a, tree_a), _spacing(uv_b, tree_b)
    reach = REACH * max(step_a, step_b)
    distance, partner = tree_b.query(uv_a)
    matched = torch.from_numpy(distance <= reach)
    back, _ = tree_a.query(uv_b)
    pair_a, pair_b = on_a[matched], on_b[torch.from_numpy(partner)][matched]
    lone_a, lone_b = torch.ones(len(a), dtype=torch.bool), torch.ones(len(b), dtype=torch.bool)
    lone_a[pair_a] = False
    lone_b[on_b[torch.from_numpy(back <= reach)]] = False
    moved = (a.triangles[pair_a] != b.triangles[pair_b]) | (
        (a.barycentrics[pair_a] - b.barycentrics[pair_b]).abs().amax(1) > SAME_PLACE
    )
    # One grid: only what lies at the same texel is the same; a neighbour's colour is not this place's.
    if step_a == step_b and bool((~moved).float().mean() > 0.5):
        lone_a[pair_a[moved]] = True
        pair_a, pair_b, moved = pair_a[~moved], pair_b[~moved], moved[~moved]
        lone_b = torch.ones(len(b), dtype=torch.bool)
        lone_b[pair_b] = False
    lone_a, lone_b = (torch.nonzero(x)[:, 0] for x in (lone_a, lone_b))
    return GaussianPairs(pair_a, pair_b, lone_a, lone_b, int(moved.sum()), step_a / step_b)


def partners(second: Avatar, places: BoundGaussians, pairs: GaussianPairs) -> BoundGaussians:
    """The second avatar's halves of the pairs, [M], told in the triangles and at the barycentrics of the first's.

    Args:
        places: [M], the first's halves of the pairs.
    """
    theirs = select(second.gaussians, pairs.second)
    quats, offsets = _told(second, theirs, places, theirs.quats, theirs.offsets)
    grown = theirs.scales * (pairs.spread if pairs.resampled else 1.0)
    return replace(
        theirs, triangles=places.triangles, barycentrics=places.barycentrics, quats=quats, offsets=offsets, scales=grown
    )


def partners_basis(second: Avatar, basis: torch.Tensor, places: BoundGaussians, pairs: GaussianPairs) -> torch.Tensor:
    """[K, M, 14]: what :func:`partners` does to Gaussians, done to the second's eigenbasis ``basis`` [K, N, 14]."""
    theirs, changes = select(second.gaussians, pairs.second), basis[:, pairs.second]
    quats, offsets = _told(second, theirs, places, changes[..., 3:7], changes[..., :3])
    return torch.cat((offsets, quats, changes[..., 7:]), dim=-1)


def _told(
    avatar: Avatar, found: BoundGaussians, places: BoundGaussians, quats: torch.Tensor, offsets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Quaternions [..., M, 4] and offsets [..., M, 3] of the triangles of ``found`` [M], in those of ``places`` [M]."""
    rotations, _ = triangle_frames(torch.from_numpy(avatar.vertices), torch.from_numpy(avatar.faces))
    turn = rotations[places.triangles].transpose(1, 2) @ rotations[found.triangles]
    elsewhere = (found.triangles != places.triangles)[:, None]
    turned = quat_multiply(matrix_to_quat(turn).expand_as(quats), quats)
    return torch.where(elsewhere, turned, quats), torch.where(elsewhere, (turn @ offsets[..., None])[..., 0], offsets)


def _same_places(a: BoundGaussians, b: BoundGaussians) -> bool:
    return (
        len(a) == len(b)
        and bool((a.triangles == b.triangles).all() and (a.parts == b.parts).all())
        and bool(((a.barycentrics - b.barycentrics).abs() <= SAME_PLACE).all())
    )


def _uv(avatar: Avatar) -> np.ndarray:
    """[N, 2] where each Gaussian's anchor lies in the atlas."""
    return at_anchors(avatar.gaussians, avatar.uv_faces, avatar.uv)


def _spacing(uv: np.ndarray, tree: cKDTree) -> float:
    """The usual distance between neighbours, rounded so that two avatars of one grid agree."""
    if len(uv) < 2:
        return 1.0
    some = uv[:: max(1, len(uv) // 2000)]
    return float(np.round(np.median(tree.query(some, k=2)[0][:, 1]), 5))
