"""Drawn eyes in the colours of the photo: what depends on the angle to the gaze alone, and so turns with it untorn.

A pixel is linear in the colours of its Gaussians. So a few corrections, one for each ring around the gaze, follow from
the pixels between the lids by least squares; what is not alike all around the iris, as reflections and the lids'
shadow, does not fit and is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from engine.gaussians.binding import pose, triangle_frames
from engine.gaussians.gaussians import PARTS, at_anchors
from engine.heads.landmarks import EYE_RIMS
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import IRIS_RADIUS, eyeballs
from engine.models.head_gaussians import HeadGaussians
from engine.photos.openings import wide_open, within
from engine.photos.photo import Photo
from engine.splatting import rasterization
from engine.tracking.posing import FreeView
from engine.tracking.tracked import View

RINGS = (0.0, 0.2, 0.35, 0.5, 0.65, 0.78, 0.9, 1.02, 1.16, 1.5, 2.2)  # radii of the iris as detected
AROUND = 6  # px of the picture beyond the lids
FAINT, ALIKE = 3.0, 12.0  # px that would weigh as much as no correction, and as both eyes alike
ODD, ROUNDS = 0.08, 4  # of sRGB's range, from which a pixel counts less
MOST = 0.3  # of sRGB's range, that a colour is corrected


def match_eyes(model: HeadGaussians, photo: Photo, view: View, head: ParametricHead) -> HeadGaussians:
    """The head with its drawn eyes' colours corrected to a photo in whose light it is."""
    points = wide_open(photo.landmarks[:, :2].astype(np.float64))
    rims = [points[list(rim)] for rim in EYE_RIMS.values()]
    both = np.round(np.concatenate(rims)).astype(int)
    low, high = both.min(axis=0) - AROUND, both.max(axis=0) + AROUND
    width, height = (high - low).tolist()
    pictures = _pictures(model, view, low, width, height)
    rings = [_rings(model, head, side) for side in (0, 1)]
    either = torch.from_numpy(rings[0] + rings[1]).float()
    shares = np.concatenate([pictures(part) for part in either.split(3, dim=1)], axis=2)[..., : len(RINGS)]
    begun = pictures(model.gaussians.colors)

    pixels = []
    for rim in rims:
        inside = (within(rim, *photo.alpha.shape) & photo.valid)[low[1] : high[1], low[0] : high[0]]
        wanted = photo.image[low[1] : high[1], low[0] : high[0]][inside]
        pixels.append((shares[inside], wanted - begun[inside]))
    seen, lacking = (np.concatenate(part) for part in zip(*pixels, strict=True))
    alike = _solve(seen, lacking, np.zeros((len(RINGS), 3)), FAINT)
    change = np.zeros((len(either), 3))
    for ring, (seen, lacking) in zip(rings, pixels, strict=True):
        change += ring @ _solve(seen, lacking, alike, ALIKE)
    colors = (model.gaussians.colors + torch.from_numpy(change).float()).clamp(0, 1)
    return replace(model, gaussians=replace(model.gaussians, colors=colors))


def _pictures(
    model: HeadGaussians, view: View, low: np.ndarray, width: int, height: int
) -> Callable[[torch.Tensor], np.ndarray]:
    """A function from colours [N, 1 to 3] to the picture [height, width, 3] of a part of the photo's window."""
    rig, free = model.rig, FreeView.of(view, model.rig)
    vertices, viewmat = free.place(rig)
    splats = pose(model.gaussians, vertices, rig.faces, triangle_frames(rig.neutral, rig.faces)[1])
    K = free.K.clone()
    K[:2, 2] -= torch.from_numpy(low).float()

    def picture(colors: torch.Tensor) -> np.ndarray:
        three = torch.nn.functional.pad(colors, (0, 3 - colors.shape[1]))
        drawn = (splats.means, splats.quats, splats.scales, splats.opacities, three)
        with torch.no_grad():
            return rasterization(*drawn, viewmat[None], K[None], width, height)[0][0, ..., :3].numpy()

    return picture


def _rings(model: HeadGaussians, head: ParametricHead, side: int) -> np.ndarray:
    """[N, K] how much of each ring a Gaussian of the left (0) or right (1) drawn eye is; 0 for all others."""
    g = model.gaussians
    vertices = model.rig.neutral.numpy().astype(np.float64)
    ball = eyeballs(vertices, head.regions["eyes"])[side]
    place = at_anchors(g, head.faces, vertices)
    mine = head.face_region("eyes")[g.triangles.numpy()] & model.fixed.numpy()
    mine &= (g.parts == PARTS.index("surface")).numpy() & ((place[:, 0] > 0) == (side == 0))
    away = place[mine] - ball.centre
    angle = np.arccos(np.clip(away[:, 2] / np.maximum(np.linalg.norm(away, axis=1), 1e-9), -1, 1))
    far = angle / np.arcsin(min(IRIS_RADIUS / ball.radius, 0.9))
    rings = np.zeros((len(g), len(RINGS)))
    rings[mine] = np.stack([np.interp(far, RINGS, one) for one in np.eye(len(RINGS))], axis=1)
    return rings


def _solve(shares: np.ndarray, wanted: np.ndarray, prior: np.ndarray, weight: float) -> np.ndarray:
    """[K, 3] corrections of the rings, of which pixels have ``shares`` [P, K], that add what is ``wanted`` [P, 3]."""
    found = prior
    for _ in range(ROUNDS):
        off = np.abs(wanted - shares @ found).max(axis=1)
        trust = shares / (1 + (off / ODD) ** 2)[:, None]
        system = trust.T @ shares + weight * np.eye(len(prior))
        found = np.linalg.solve(system, trust.T @ wanted + weight * prior)
    return found.clip(-MOST, MOST)
