"""What a bake gives: meshes with a picture each, that move with the avatar's keys and joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.avatar import Avatar


@dataclass(frozen=True)
class TexturedMesh:
    """A mesh at rest with its picture. Metres, y up, z toward the viewer.

    Attributes:
        name: of it among the head's meshes: ``head``, ``hair``.
        vertices: [V, 3] float32. faces: [F, 3] int32, counter-clockwise seen from outside.
        uv: [T, 2] float32 in 0..1, v up. uv_faces: [F, 3] int32 into ``uv``.
        key_deltas: [E, V, 3] float32, what each key of the avatar moves at weight 1.
        skin_weights: [V, J + 1] float32, columns as in the avatar: 0 never moves, j + 1 is joint j.
        texture: [S, S, 4] uint8, sRGB and straight alpha, the first row is v = 1.
        see_through: alpha matters; otherwise it is 255 everywhere.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    key_deltas: np.ndarray
    skin_weights: np.ndarray
    texture: np.ndarray
    see_through: bool = False


@dataclass(frozen=True)
class TexturedHead:
    """An avatar beside its meshes, the head's own first; keys and joints are the avatar's."""

    avatar: Avatar
    meshes: tuple[TexturedMesh, ...]
