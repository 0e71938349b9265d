"""How photos of one person compare: which leads, in what light each is, which were taken together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine.heads.parametric import ParametricHead
from engine.heads.portrait import vertex_normals
from engine.heads.rig import Rig
from engine.models.head_gaussians import Shoot
from engine.models.surface.lighting import TERMS, fit_light, gains, leading_photo
from engine.models.surface.texture import Texels, look_at
from engine.models.surface.views import facing, view_geometry
from engine.photos.photo import Photo
from engine.tracking.tracked import View

BOTH_SEE = 0.6  # cosine in two photos from which a place tells their lights apart
FEWEST = 80  # such vertices, for a light
ALIKE = 0.14  # root mean square of the logarithm of the ratio of lights, up to which it is the same shoot


def compare(head: ParametricHead, rig: Rig, photos: Sequence[Photo], views: Sequence[View]) -> Shoot:
    """Compare photos on the skin that they share.

    Args:
        rig: the person's, with or without hair.
    """
    lights, alike = np.zeros((len(photos), TERMS, 3)), np.ones(len(photos), bool)
    leading = leading_photo(photos, views, [facing(rig, view) for view in views])
    if len(photos) == 1:
        return Shoot(leading, lights, alike)
    texels = _at_faces(rig)
    looks = [look_at(head, texels, photo, view_geometry(rig, view)) for photo, view in zip(photos, views, strict=True)]
    skin = texels.member(head, "face", "neck", "ears", "lips")
    theirs, square = looks[leading][:2]
    for i, (colors, cosine, _) in enumerate(looks):
        both = skin & (square > BOTH_SEE) & (cosine > BOTH_SEE)
        if i == leading or both.sum() < FEWEST:
            alike[i] = i == leading
            continue
        lights[i] = fit_light(colors[both], theirs[both], texels.normal[both], square[both] * cosine[both])
        ratio = gains(torch.from_numpy(lights[i]), torch.from_numpy(texels.normal[both])).log()
        alike[i] = float(ratio.square().mean().sqrt()) < ALIKE
    return Shoot(leading, lights, alike)


def _at_faces(rig: Rig) -> Texels:
    """A sample in the middle of every triangle."""
    vertices, faces = rig.neutral.numpy().astype(np.float64), rig.faces.numpy()
    normals = vertex_normals(vertices, faces)[faces].mean(axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return Texels(np.arange(len(faces)), np.full((len(faces), 3), 1 / 3), vertices[faces].mean(axis=1), normals)
