"""What stands off the skin, hair and clothes, as cards: a quad each, with a Gaussian's picture on it.

Cards are how games draw hair. One in a Gaussian's own plane looks like the Gaussian wherever it is not seen edge on.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.avatar import Avatar, drive
from engine.baking.textured import TexturedMesh
from engine.gaussians.gaussians import PARTS

OFF, OFF_FACE = 0.0025, 0.006  # m from its place on the skin, from which a Gaussian is more than the skin's colour
EXTENT = 2.5  # standard deviations from a card's middle to its sides
THICK = 0.5  # of a Gaussian's width, from which its thickness needs cards across
LONG = 0.3  # of its length: what is narrower needs none across its length
APART = 0.0004  # m that cards are moved along their normals at most: renderers skip surfaces in the same plane
FAINT, FAINT_LASH = 0.1, 0.004  # opacity below which a card is not worth its triangles
MOST = 45_000  # cards; the least visible are left out
CORNERS = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)), np.float32)


def standing_off(avatar: Avatar) -> torch.Tensor:
    """[N] bool: the Gaussians that become cards.

    Lashes are among them, with the margins and the shadows of lids, which hundreds of faint strokes make up.
    """
    gaussians = avatar.gaussians
    limits = torch.where(_within(avatar, "face"), OFF_FACE, OFF)
    off = (gaussians.parts != PARTS.index("surface")) | (gaussians.offsets.norm(dim=1) > limits)
    return (off & (gaussians.opacities > FAINT)) | (_within(avatar, "lashes") & (gaussians.opacities > FAINT_LASH))


def _within(avatar: Avatar, region: str) -> torch.Tensor:
    """[N] bool: which Gaussians are bound to a region's faces; none where the head model lacks it."""
    return torch.from_numpy(avatar.region(region)[avatar.faces].all(axis=1))[avatar.gaussians.triangles]


def _planes(scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which cards Gaussians get: their numbers [n], and the axes that each card is spanned by and its normal's [n, 3].

    Flat ones get one; round ones get three, one of which is seen from anywhere.

    Args:
        scales: [N, 3] m.
    """
    order = np.argsort(-scales, axis=1, kind="stable")
    length, width, thickness = np.take_along_axis(scales, order, axis=1).T
    thick = thickness > THICK * width
    wanted = ((np.ones_like(thick), (0, 1, 2)), (thick, (0, 2, 1)), (thick & (width > LONG * length), (1, 2, 0)))
    owners = np.concatenate([np.flatnonzero(which) for which, _ in wanted])
    planes = np.concatenate([order[which][:, list(axes)] for which, axes in wanted])
    return owners, planes


def make_cards(avatar: Avatar, size: int) -> TexturedMesh | None:
    """A mesh of cards; None where nothing stands off.

    Args:
        size: texels a side of the picture, which is a grid of tiles, one for each card.
    """
    chosen = torch.nonzero(standing_off(avatar))[:, 0].numpy()
    if not len(chosen):
        return None
    splats, gaussians = drive(avatar, {}), avatar.gaussians
    owners, planes = _planes(splats.scales.numpy()[chosen])
    owners = chosen[owners]
    scales = np.take_along_axis(splats.scales.numpy()[owners], planes, axis=1)
    seen = scales[:, 0] * scales[:, 1] * splats.opacities.numpy()[owners]
    kept = np.sort(np.argsort(-seen, kind="stable")[:MOST])
    owners, planes, scales, count = owners[kept], planes[kept], scales[kept], len(kept)

    turns = Rotation.from_quat(splats.quats.numpy()[owners], scalar_first=True).as_matrix()
    axes = np.take_along_axis(turns, planes[:, None], axis=2)  # [n, 3, 3], columns: across the card, its normal last
    apart = APART * np.random.default_rng(0).uniform(-1, 1, (count, 1))
    middles = splats.means.numpy()[owners] + apart * axes[:, :, 2]
    centre = avatar.joint_positions[avatar.joint_names.index("head")]
    inward = np.einsum("nd,nd->n", np.cross(axes[:, :, 0], axes[:, :, 1]), middles - centre) < 0
    axes[inward, :, 0] *= -1  # all cards show outside: what is lit on the back is dark
    vertices = middles[:, None] + EXTENT * np.einsum("ndk,nk,ck->ncd", axes[:, :, :2], scales[:, :2], CORNERS)

    anchors = avatar.faces[gaussians.triangles.numpy()[owners]]  # [n, 3]
    shares = gaussians.barycentrics.numpy()[owners]
    deltas = np.stack([np.einsum("nk,nkd->nd", shares, key[anchors]) for key in avatar.key_deltas])  # [E, n, 3]
    weights = np.einsum("nk,nkj->nj", shares, avatar.skin_weights[anchors]).clip(0)
    weights /= weights.sum(axis=1, keepdims=True)

    side = math.ceil(math.sqrt(count))  # tiles a side
    row, column = np.divmod(np.arange(count), side)
    low = np.stack((column, side - 1 - row), axis=1)  # tiles, v up
    uv = (low[:, None] + (CORNERS + 1) / 2) / side
    quads = np.arange(4 * count).reshape(-1, 4)
    faces = np.concatenate((quads[:, [0, 1, 2]], quads[:, [0, 2, 3]])).astype(np.int32)
    return TexturedMesh(
        name="hair",
        vertices=vertices.reshape(-1, 3).astype(np.float32),
        faces=faces,
        uv=uv.reshape(-1, 2).astype(np.float32),
        uv_faces=faces,
        key_deltas=np.repeat(deltas, 4, axis=1).astype(np.float32),
        skin_weights=np.repeat(weights, 4, axis=0).astype(np.float32),
        texture=_tiles(splats.colors.numpy()[owners], splats.opacities.numpy()[owners], side, size),
        see_through=True,
    )


def _tiles(colors: np.ndarray, opacities: np.ndarray, side: int, size: int) -> np.ndarray:
    """[size, size, 4] uint8: one tile of a colour for each card, opaque as its Gaussian is there."""
    places = (np.arange(size) + 0.5) / size * side  # tiles from the left and from the top
    tile = np.floor(places).astype(int)
    fall = np.exp(-((EXTENT * (2 * (places - tile) - 1)) ** 2) / 2)
    number = np.minimum(tile[:, None] * side + tile, len(colors) - 1)  # the last of them fills what is left over
    texture = np.empty((size, size, 4), np.uint8)
    texture[..., :3] = (255 * colors.clip(0, 1)).round()[number]
    texture[..., 3] = (255 * opacities[number] * fall[:, None] * fall).round()
    return texture
