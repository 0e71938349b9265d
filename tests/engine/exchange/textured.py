"""A textured head without a bake: an avatar's own mesh in a checker, and a cap of it that can be seen through."""

from __future__ import annotations

import numpy as np

from engine.avatar import Avatar
from engine.baking.textured import TexturedHead, TexturedMesh


def checker(size: int, alpha: int) -> np.ndarray:
    """[size, size, 4] uint8: no two places alike, the first row is v = 1."""
    row, column = np.mgrid[:size, :size]
    squares = (row * 8 // size + column * 8 // size) % 2
    picture = np.stack((column * 255 // size, row * 255 // size, squares * 255, np.full_like(row, alpha)), axis=-1)
    return picture.astype(np.uint8)


def make_textured(avatar: Avatar, size: int = 64) -> TexturedHead:
    head = TexturedMesh(
        "head", avatar.vertices, avatar.faces, avatar.uv, avatar.uv_faces, avatar.key_deltas, avatar.skin_weights,
        checker(size, 255),
    )  # fmt: skip
    above = (avatar.vertices[:, 1] > np.median(avatar.vertices[:, 1]))[avatar.faces].all(axis=1)
    used, corners = np.unique(avatar.faces[above], return_inverse=True)
    hair = TexturedMesh(
        "hair", avatar.vertices[used] * np.float32(1.05), corners.reshape(-1, 3).astype(np.int32), avatar.uv,
        avatar.uv_faces[above], avatar.key_deltas[:, used], avatar.skin_weights[used], checker(size, 128),
        see_through=True,
    )  # fmt: skip
    return TexturedHead(avatar, (head, hair))
