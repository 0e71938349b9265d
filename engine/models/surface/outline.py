"""The outline of ears, jaw and neck: what the face's landmarks cannot tell, the matte does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy import sparse
from scipy.ndimage import map_coordinates
from scipy.sparse.linalg import splu

from engine.heads.parametric import ParametricHead
from engine.heads.rig import Rig
from engine.models.surface.hull import graph_laplacian
from engine.models.surface.kinds import SHADE, UNLIKE, unlike
from engine.models.surface.views import ViewGeometry, slants, view_geometry
from engine.photos.photo import Photo
from engine.tracking.tracked import View

REACH = {"ears": 0.016, "neck": 0.016, "face": 0.012}  # m: a matte that ends further away belongs to hair or a collar
STILL = ("lips", "lids", "brows", "eyes", "teeth", "tongue", "mouth_interior", "lashes", "scalp", "torso")
RIM = 0.35  # cosine between normal and viewing ray under which a vertex counts as outline
ROUNDS = 2  # another outline shows once the first has moved
STIFFNESS, HELD = 2.0, 0.02  # of bending, and of staying where landmarks put it, against one sample of the outline
STEPS = np.arange(-24, 25)  # in 24ths of the reach, over which the matte's edge is looked for
SOLID = 0.5
AT_EDGE, ALIKE = 3, 0.2  # px off the edge; of sRGB's range: a jaw whose beard goes on unchanged ends where that does
FACING = 0.8  # cosine from which the face tells the colour of skin: an ear ends where that does, and not with its hair


def fit_outline(head: ParametricHead, rig: Rig, photos: Sequence[Photo], views: Sequence[View]) -> Rig:
    """The rig with ears, jaw and neck moved sideways to the mattes' edges.

    Vertices on the outline are drawn to the nearest edge of the matte, along the outline's normal in the picture, and
    a bending energy lets their surroundings follow as a whole.
    """
    laplacian = graph_laplacian(head.faces, len(head.template))
    bending = laplacian.T @ laplacian
    reach = np.zeros(len(head.template))
    for name, furthest in REACH.items():
        reach[head.regions[name]] = furthest
    for name in STILL:
        reach[head.regions[name]] = 0
    mouth = rig.neutral[head.regions["lips"], 1].max().item()
    above = head.regions["face"] & (rig.neutral[:, 1].numpy() > mouth)
    reach[above & ~head.regions["ears"]] = 0  # there a face may end in hair
    free = reach > 0
    stay = sparse.diags(np.where(free, HELD, 1e3))
    for _ in range(ROUNDS):
        samples = [_samples(head, rig, photo, view, reach, above) for photo, view in zip(photos, views, strict=True)]
        picks, moves = (np.concatenate(each) for each in zip(*samples, strict=True))
        if not len(picks):
            break
        pull = np.bincount(picks, minlength=len(free)).astype(float)
        goal = np.stack([np.bincount(picks, moves[:, c], minlength=len(free)) for c in range(3)], axis=1)
        moved = splu((sparse.diags(pull) + STIFFNESS * bending + stay).tocsc()).solve(goal)
        rig = replace(rig, neutral=rig.neutral + torch.from_numpy(np.where(free[:, None], moved, 0)).float())
    return rig


def _samples(
    head: ParametricHead, rig: Rig, photo: Photo, view: View, reach: np.ndarray, above: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Outline vertices [S] and how each must move [S, 3] in metres, at rest, for the matte's edge.

    Args:
        reach: [V] metres within which that edge is looked for; 0 where a vertex stays. above: [V] bool, the face above
            the mouth, where no beard hides its skin.
    """
    g = view_geometry(rig, view)
    cosine, flat = slants(g, rig.faces.numpy())
    pick = np.flatnonzero((reach > 0) & (np.abs(cosine) < RIM) & _outermost(g, flat))
    pixel = g.camera[pick, 2] / g.focal  # metres each
    away = STEPS / STEPS.max() * reach[pick, None]
    path = g.pixels[pick, None] + flat[pick, None] * (away / pixel[:, None])[..., None]
    size = photo.alpha.shape[0]
    yx = (path[..., 1] - 0.5, path[..., 0] - 0.5)
    solid = map_coordinates(photo.alpha, yx, order=1, mode="constant") > SOLID
    column, row = path.astype(int).clip(0, size - 1).transpose(2, 0, 1)
    within = ((path > 1) & (path < size - 1)).all(axis=(1, 2)) & photo.valid[row, column].all(axis=1)
    edge = solid[:, :-1] & ~solid[:, 1:]
    gap = np.where(edge, np.abs(away[:, :-1]), np.inf)
    found = within & edge.any(axis=1)
    steps = np.take_along_axis(away, gap.argmin(axis=1)[:, None], axis=1)[:, 0]
    at_edge, further_in = (
        _color(photo, g.pixels[pick] + flat[pick] * inset[:, None])
        for inset in (steps / pixel - AT_EDGE, np.minimum(steps, 0) / pixel - 2 * AT_EDGE)
    )
    skin = np.median(_color(photo, g.pixels[above & (cosine < -FACING)]), axis=0)
    beard = head.regions["face"][pick] & (np.abs(at_edge - further_in).max(axis=1) < ALIKE)
    found &= beard | (unlike(skin, at_edge, SHADE) < UNLIKE[1])
    turn = view.viewmat[:3, :3]
    to_world = np.concatenate([flat[pick] * steps[:, None], np.zeros((len(pick), 1))], axis=1) @ turn
    moves = to_world @ rig.head_transform(torch.from_numpy(view.joint_rotations).float())[:3, :3].numpy()
    return pick[found], moves[found]


def _color(photo: Photo, pixels: np.ndarray) -> np.ndarray:
    """[S, 3] the photo at pixels [S, 2]."""
    column, row = pixels.astype(int).clip(0, photo.alpha.shape[0] - 1).T
    return photo.image[row, column]


def _outermost(g: ViewGeometry, flat: np.ndarray) -> np.ndarray:
    """[V] bool: vertices beyond which, a few pixels along their normal [V, 2] in the picture, the mesh is not."""
    size = g.raster.depth.shape[0]
    column, row = (g.pixels + 4 * flat).astype(int).clip(0, size - 1).T
    return ~np.isfinite(g.raster.depth[row, column])
