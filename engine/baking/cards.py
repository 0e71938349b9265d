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

OFF = 0.004  # m from where it is bound, from which a Gaussian is no longer a matter of the skin's picture
EXTENT = 2.5  # standard deviations from a card's middle to its sides
FAINT = 0.1  # opacity below which a card is not worth its triangles
CORNERS = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)), np.float32)


def standing_off(avatar: Avatar) -> torch.Tensor:
    """[N] bool: the Gaussians that become cards."""
    gaussians = avatar.gaussians
    off = (gaussians.parts != PARTS.index("surface")) | (gaussians.offsets.norm(dim=1) > OFF)
    return off & (gaussians.opacities > FAINT)


def make_cards(avatar: Avatar, size: int) -> TexturedMesh | None:
    """A mesh of cards; None where nothing stands off.

    Args:
        size: texels a side of the picture, which is a grid of tiles, one for each card.
    """
    chosen = standing_off(avatar)
    count = int(chosen.sum())
    if not count:
        return None
    splats, gaussians = drive(avatar, {}), avatar.gaussians
    means, quats, scales = (getattr(splats, name)[chosen].numpy() for name in ("means", "quats", "scales"))
    order = np.argsort(-scales, axis=1, kind="stable")  # the two longest axes span the card
    axes = Rotation.from_quat(quats, scalar_first=True).as_matrix() * scales[:, None]
    axes = np.take_along_axis(axes, order[:, None], axis=2)[:, :, :2]  # [n, 3, 2]
    vertices = means[:, None] + EXTENT * np.einsum("ndk,ck->ncd", axes, CORNERS)

    anchors = avatar.faces[gaussians.triangles[chosen].numpy()]  # [n, 3]
    shares = gaussians.barycentrics[chosen].numpy()
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
        texture=_tiles(splats.colors[chosen].numpy(), splats.opacities[chosen].numpy(), side, size),
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
