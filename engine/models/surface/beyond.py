"""Gaussians beyond the mesh: hair, beard, collars and shoulders that the matte calls for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter, label

from engine.gaussians.binding import bind, nearest_triangles, pose, triangle_frames
from engine.gaussians.gaussians import PARTS, BoundGaussians, concatenate, select
from engine.gaussians.rotations import matrix_to_quat
from engine.heads.parametric import ParametricHead
from engine.heads.rig import Rig
from engine.models.head_gaussians import Shoot
from engine.models.surface.views import ViewGeometry, pixels_of, pose_rig, view_geometry
from engine.photos.photo import WINDOW, Photo
from engine.splatting import rasterization
from engine.tracking.photometric import TORSO_RATES, FinishedHead, drive_photometric
from engine.tracking.tracked import View

STRIDE = 2  # window pixels between neighbours
COVERED = 0.6  # alpha of the render above which the mesh's Gaussians fill a pixel
SMOOTHING = 10  # px, of the depth that is carried outwards
STRAY = 6  # px beyond another photo's matte from which a Gaussian is taken away
TORSO_STEPS = 20
BEHIND, FALL = 0.006, 0.8  # m behind the nearest silhouette, and further behind per m away from it: a sheet that faced
# the camera would stand out from a turned head like a fin
BEFORE_EARS = (
    0.005  # m before the ears, from where hair hangs and collars stand: not from the jaw, which is further ahead
)
CRUMB = 400  # px: pieces that are smaller hang in the air once the head turns
RIM = 4  # px: what is thinner than twice that is the soft edge of the mesh itself
CORE = 4  # px inside the matte's sure part, from where its border takes its colours: its own carry the background
FLATNESS = (0.65, 0.65, 1.6)  # standard deviations in strides: across, down, along the ray, so that a sheet which is
# seen aslant has no gaps
LEVEL = 0.3  # sideways distance counts this much of height: long hair then takes the neck's motion at its own level,
# which passes smoothly from head to torso, instead of tearing between a near ear and a near shoulder
STILL = 0.0006  # m: triangles that no expression moves further carry what lies far from the mesh


def still_triangles(head: ParametricHead) -> np.ndarray:
    """[K] triangles of the skin that stay put under every expression: scalp, ears, neck, torso and their rims."""
    moves = np.linalg.norm(head.expression_basis, axis=2).max(axis=0)
    solid = head.regions["eyes"] | head.regions["teeth"] | head.regions["tongue"] | head.regions["lashes"]
    hidden = head.regions["mouth_interior"]
    return np.flatnonzero(((moves < STILL) & ~solid & ~hidden)[head.faces].all(axis=1))


def add_beyond(
    gaussians: BoundGaussians,
    head: ParametricHead,
    rig: Rig,
    photos: Sequence[Photo],
    views: Sequence[View],
    shoot: Shoot,
) -> tuple[BoundGaussians, torch.Tensor, tuple[View, ...]]:
    """Fill what the mattes of the leading photo and those of its shoot show and the Gaussians so far do not cover.

    A Gaussian is placed on the pixel's ray at the depth of the nearest silhouette and tied to the nearest still
    triangle; its colour is the matte's foreground, its opacity the matte. Shoulders and clothes come from the leading
    photo alone; in the others the torso is turned until it agrees, and they add hair. What another photo shows to lie
    beyond the person is taken away again.

    Args:
        shoot: how the photos compare.

    Returns:
        The Gaussians; of those that were added, the photo [A] they come from; the views with their torsos turned.
    """
    still = torch.from_numpy(still_triangles(head))
    rest_areas = triangle_frames(rig.neutral, rig.faces)[1]
    turned = list(views)
    on_mesh = len(gaussians)
    order = sorted(np.flatnonzero(shoot.alike).tolist(), key=lambda i: i != shoot.leading)
    owner = torch.zeros(0, dtype=torch.long)
    for i in order:
        photo = photos[i]
        if i != order[0]:
            look = FinishedHead(rig, gaussians, head)
            turned[i] = drive_photometric(look, photo, views[i], TORSO_RATES, TORSO_STEPS)
        view = turned[i]
        g = view_geometry(rig, view)
        with torch.no_grad():
            vertices = pose_rig(rig, view)
            splats = pose(gaussians, vertices, rig.faces, rest_areas)
            _, alphas, _ = rasterization(
                splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
                torch.from_numpy(view.viewmat).float()[None], torch.from_numpy(view.K).float()[None], WINDOW, WINDOW,
            )  # fmt: skip
        added = _fill(photo, view, g, alphas[0, ..., 0].numpy(), head, rig, vertices, still)
        if added is not None:
            if i != order[0]:
                added = select(added, added.parts == PARTS.index("hair"))
            added = replace(
                added, colors=(added.colors / torch.from_numpy(shoot.lights[i, 0]).float().exp()).clamp(0, 1)
            )
            gaussians = concatenate(gaussians, added)
            owner = torch.cat([owner, torch.full((len(added),), i)])
    for i in order:
        kept = ~_beyond_matte(gaussians, on_mesh, rig, rest_areas, photos[i], turned[i])
        gaussians, owner = select(gaussians, kept), owner[kept[on_mesh:]]
    return gaussians, owner, tuple(turned)


def _beyond_matte(
    gaussians: BoundGaussians, on_mesh: int, rig: Rig, rest_areas: torch.Tensor, photo: Photo, view: View
) -> torch.Tensor:
    """[N] bool: Gaussians of this layer that a photo shows outside the person."""
    means = pose(gaussians, pose_rig(rig, view), rig.faces, rest_areas).means.numpy()
    row, column, inside, _ = pixels_of(means, view)
    far = distance_transform_edt(photo.alpha < 0.1)[row, column] > STRAY
    out = inside & photo.valid[row, column] & far
    out[:on_mesh] = False
    return torch.from_numpy(out)


def _broad(need: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """[H, W] bool: a mask without its thin and its small parts; the photo's border counts as going on."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RIM + 1,) * 2)
    opened = cv2.morphologyEx((need | ~valid).astype(np.uint8), cv2.MORPH_OPEN, disc)
    labels, _ = label(cv2.dilate(opened, disc))
    return (np.bincount(labels.ravel())[labels] >= CRUMB) & (labels > 0)


def drape(g: ViewGeometry, view: View) -> np.ndarray:
    """[H, W] metres: the depth at which the mesh's edge goes on beyond its silhouette, some way behind it."""
    away, where = distance_transform_edt(~np.isfinite(g.raster.depth), return_indices=True)
    depth = gaussian_filter(g.raster.depth[tuple(where)], SMOOTHING)
    return depth + BEHIND + FALL * away * depth / view.K[0, 0]


def _fill(
    photo: Photo,
    view: View,
    g: ViewGeometry,
    alpha: np.ndarray,
    head: ParametricHead,
    rig: Rig,
    vertices: torch.Tensor,
    still: torch.Tensor,
) -> BoundGaussians | None:
    need = (photo.alpha > 0.1) & (alpha <= COVERED) & photo.valid
    need &= _broad(need, photo.valid)
    on_grid = np.zeros_like(need)
    on_grid[::STRIDE, ::STRIDE] = True
    row, column = np.nonzero(need & on_grid)
    silhouette = np.isfinite(g.raster.depth)
    if not len(row) or not silhouette.any():
        return None
    ears = float(np.median(g.camera[head.regions["ears"], 2])) - BEFORE_EARS
    depth = np.maximum(drape(g, view)[row, column], ears)
    x = (column + 0.5 - view.K[0, 2]) / view.K[0, 0] * depth
    y = (row + 0.5 - view.K[1, 2]) / view.K[1, 1] * depth
    to_world = np.linalg.inv(view.viewmat)
    world = np.stack([x, y, depth], axis=1) @ to_world[:3, :3].T + to_world[:3, 3]
    means = torch.from_numpy(world).float()
    flat = torch.tensor([LEVEL, 1.0, LEVEL])
    triangles, barycentrics = nearest_triangles(means * flat, vertices * flat, rig.faces, still)
    facing = matrix_to_quat(torch.from_numpy(to_world[:3, :3]).float())
    scales = torch.from_numpy(depth / view.K[0, 0] * STRIDE).float()[:, None] * torch.tensor(FLATNESS)
    a = photo.alpha[row, column]
    sure = distance_transform_edt(photo.alpha > 0.95)
    inner = distance_transform_edt(sure <= CORE, return_distances=False, return_indices=True)
    colors = photo.image[inner[0], inner[1]][row, column] if (sure > CORE).any() else photo.foreground[row, column]
    on_torso = rig.skin_weights[rig.faces[triangles]].mean(dim=1)[:, 0] > 0.5
    parts = torch.where(on_torso, PARTS.index("torso"), PARTS.index("hair")).to(torch.uint8)
    return bind(
        means,
        facing.expand(len(means), 4),
        scales,
        torch.from_numpy(a.clip(0.02, 0.98)).float(),
        torch.from_numpy(colors.clip(0, 1)).float(),
        parts,
        vertices,
        rig.faces,
        triangles,
        barycentrics,
    )
