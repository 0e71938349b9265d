"""A baked head as one file for the add-on, which has the head's own mesh: pictures, and the cards as an avatar."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from engine.atomic import atomic_write
from engine.avatar import Avatar, save
from engine.baking.textured import TexturedHead, TexturedMesh
from engine.gaussians.gaussians import BoundGaussians


def write_baked(head: TexturedHead, path: Path) -> None:
    """Write a zip archive of ``NAME.png`` for every mesh and ``NAME.npz`` for all but the head's own: an avatar file
    (docs/avatar-format.md) without Gaussians.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path) as temporary, TemporaryDirectory() as folder, zipfile.ZipFile(temporary, "w") as archive:
        for mesh in head.meshes:
            archive.writestr(f"{mesh.name}.png", as_png(mesh.texture))
        for mesh in head.meshes[1:]:
            own = Path(folder, f"{mesh.name}.npz")
            save(_as_avatar(head.avatar, mesh), own)
            archive.write(own, own.name)


def as_png(texture: np.ndarray) -> bytes:
    """A picture [H, W, 4] uint8, sRGB and straight alpha, as a PNG file's bytes."""
    return cv2.imencode(".png", cv2.cvtColor(texture, cv2.COLOR_RGBA2BGRA))[1].tobytes()


def _as_avatar(avatar: Avatar, mesh: TexturedMesh) -> Avatar:
    nothing = BoundGaussians(**{name: values[:0] for name, values in vars(avatar.gaussians).items()})
    return replace(
        avatar,
        vertices=mesh.vertices,
        faces=mesh.faces,
        uv=mesh.uv,
        uv_faces=mesh.uv_faces,
        regions={},
        key_deltas=mesh.key_deltas,
        skin_weights=mesh.skin_weights,
        gaussians=nothing,
        views=(),
        eigenbasis=None,
    )
