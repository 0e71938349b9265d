"""The ``surface`` system: Gaussians at the texels of the tracked mesh, coloured from the photos. Needs no weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from engine.curves import smoothstep
from engine.gaussians.binding import triangle_frames
from engine.gaussians.gaussians import PARTS, BoundGaussians
from engine.heads.atlas import DEFAULT_TEXELS, make_atlas, position_map, texel_neighbours, texels_for_count
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import vertex_normals
from engine.heads.rig import Rig, make_rig
from engine.models.head_gaussians import HeadGaussians, Shoot, kept_pairs
from engine.models.surface.beyond import add_beyond
from engine.models.surface.completion import complete
from engine.models.surface.hull import graph_laplacian, inflate
from engine.models.surface.membrane import Membrane
from engine.models.surface.outline import fit_outline
from engine.models.surface.shoot import compare
from engine.models.surface.texture import SKIN, Texels, Texture, project_photos
from engine.models.surface.views import ViewGeometry, view_geometry
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.tracking.tracked import Tracked, View

OVERLAP = (0.75, 0.75, 0.2)  # standard deviations in texel spacings: two along the surface, one through it
OPACITY = 0.97
LARGEST = 0.004  # m, of a standard deviation
OUTSIDE = 2  # px outside the matte from which a surface Gaussian is cut away
BUST_FADE = (0.015, 0.045)  # m from the mesh's cut edges over which the bust fades out
FADE_SMOOTHING = 12  # rounds over the mesh, so that the fade does not repeat the cut's steps


@dataclass(frozen=True)
class Painted:
    """The tracked head with its hair, and the photos on it: what Gaussians are placed on.

    Attributes:
        rig: the person's, inflated to the hair.
        texels: N samples of the surface. scales: [N, 3] standard deviations of Gaussians that just cover it, metres.
        pairs: [M, 2] neighbours.
        texture: what the photos show. colors: [N, 3] completed where they show nothing.
        shoot: how the photos compare; the leading one's light this is.
        presence: [N] 0..1, how much of a texel is there: 0 where no skin is ever seen or a photo shows that the person
            ends, less than 1 where the bust fades out.
        resolution: R of the atlas whose valid texels are the samples.
    """

    rig: Rig
    texels: Texels
    scales: np.ndarray
    pairs: np.ndarray
    texture: Texture
    colors: np.ndarray
    presence: np.ndarray
    shoot: Shoot
    resolution: int


def paint(photos: Sequence[Photo], views: Sequence[View], head: ParametricHead, bald: Rig, resolution: int) -> Painted:
    """Inflate the tracked head to its hair and lay the photos over it.

    Args:
        bald: the person's rig as tracked. resolution: R of the atlas whose valid texels become the samples.
    """
    shoot = compare(head, bald, photos, views)
    hair = np.flatnonzero(shoot.alike).tolist()
    outlined = fit_outline(head, bald, [photos[i] for i in hair], [views[i] for i in hair])
    rig = inflate(head, outlined, [photos[i] for i in hair], [views[i] for i in hair])
    return _paint(photos, views, head, rig, resolution, shoot)


def paint_on(
    photos: Sequence[Photo], views: Sequence[View], head: ParametricHead, rig: Rig, resolution: int
) -> Painted:
    """The same on a ``rig`` that is inflated already."""
    return _paint(photos, views, head, rig, resolution, compare(head, rig, photos, views))


def _paint(
    photos: Sequence[Photo], views: Sequence[View], head: ParametricHead, rig: Rig, resolution: int, shoot: Shoot
) -> Painted:
    geometry = [view_geometry(rig, view) for view in views]
    texels, scales, pairs = _texels(head, rig, resolution)
    vertices = rig.neutral.numpy().astype(np.float64)
    skin = Membrane(vertices, head.faces, head.face_region(*SKIN))
    texture = project_photos(head, texels, photos, geometry, skin, shoot.lights, shoot.leading)
    colors = complete(head, vertices, texels, texture, skin)
    leading = shoot.leading
    keep = ~_outside(texels, head, photos[leading], geometry[leading]) & ~_never_seen(texels, head)
    presence = keep * _bust_fade(texels, head, rig)
    return Painted(rig, texels, scales, pairs, texture, colors, presence, shoot, resolution)


def surface(
    photos: Sequence[Photo], tracked: Tracked, head: ParametricHead, progress: Progress, count: int = DEFAULT_TEXELS
) -> HeadGaussians:
    """Photos and their tracking to Gaussians.

    Args:
        count: Gaussians on the mesh; those beyond it come on top.
    """
    bald = make_rig(head, tracked.neutral, tracked.joints)
    painted = paint(photos, tracked.views, head, bald, texels_for_count(head.uv, head.uv_faces, count))
    progress.update(0.8)
    rig, keep = painted.rig, painted.presence > 0
    gaussians = _on_texels(painted, keep)
    n = len(gaussians)
    seen = torch.from_numpy(painted.texture.owned[keep]).float()
    gaussians, from_photo, views = add_beyond(gaussians, head, rig, photos, tracked.views, painted.shoot)
    seen = torch.cat([seen, torch.ones(len(gaussians) - n)])
    owner = torch.cat([torch.from_numpy(painted.texture.owner[keep]), from_photo])
    pairs = kept_pairs(painted.pairs, keep)
    fixed = torch.zeros(len(gaussians), dtype=torch.bool)
    return HeadGaussians(rig, gaussians, gaussians.scales, seen, owner, fixed, painted.shoot, pairs, views)


def _on_texels(painted: Painted, keep: np.ndarray) -> BoundGaussians:
    """Gaussians in the painted colours that cover the texels of a mask [N]."""
    texels, n = painted.texels, int(keep.sum())
    return BoundGaussians(
        torch.from_numpy(texels.triangle[keep]),
        torch.from_numpy(texels.barycentric[keep]).float(),
        torch.zeros(n, 3),
        torch.tensor([1.0, 0, 0, 0]).repeat(n, 1),
        torch.from_numpy(painted.scales[keep]).float(),
        torch.from_numpy(OPACITY * painted.presence[keep]).float(),
        torch.from_numpy(painted.colors[keep]).float(),
        torch.full((n,), PARTS.index("surface"), dtype=torch.uint8),
    )


def _texels(head: ParametricHead, rig: Rig, resolution: int) -> tuple[Texels, np.ndarray, np.ndarray]:
    """Surface samples at the atlas's texels, their standard deviations [N, 3] in metres, neighbours [M, 2]."""
    atlas = make_atlas(head.uv, head.uv_faces, resolution)
    triangle = atlas.triangle[atlas.mask].astype(np.int64)
    barycentric = atlas.barycentric[atlas.mask].astype(np.float64)
    vertices = rig.neutral.numpy().astype(np.float64)
    corners = vertices[head.faces]
    normals = vertex_normals(vertices, head.faces)
    texels = Texels(
        triangle,
        barycentric,
        np.einsum("nkc,nk->nc", corners[triangle], barycentric),
        np.einsum("nkc,nk->nc", normals[head.faces[triangle]], barycentric),
    )
    positions = position_map(atlas, head.faces, rig.neutral).numpy()
    pairs = texel_neighbours(atlas, head.faces, positions)
    return texels, spread(head, rig, resolution)[triangle], pairs


def spread(head: ParametricHead, rig: Rig, resolution: int) -> np.ndarray:
    """[F, 3] metres, standard deviations of Gaussians that just cover their triangle's texels."""
    areas = triangle_frames(rig.neutral, rig.faces)[1].cpu().numpy()
    uv = head.uv[head.uv_faces] * resolution
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    texel_areas = 0.5 * np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    spacing = np.sqrt(areas / np.maximum(texel_areas, 1e-6))
    return np.clip(spacing[:, None] * OVERLAP, 5e-5, LARGEST)


def _outside(texels: Texels, head: ParametricHead, photo: Photo, g: ViewGeometry) -> np.ndarray:
    """[N] bool: texels that the leading photo shows to lie beyond the person. The others do not judge: their torso's
    pose is only guessed yet, and their hair may be another day's."""
    inner = ("face", "lips", "lids", "eyes", "mouth_interior", "teeth", "tongue", "lashes")
    pixels = texels.sample(head.faces, g.pixels)
    size = photo.alpha.shape[0]
    column, row = pixels.astype(int).clip(0, size - 1).T
    inside = ((pixels > 0) & (pixels < size)).all(axis=1) & photo.valid[row, column]
    far = distance_transform_edt(photo.alpha < 0.5)[row, column] > OUTSIDE
    return inside & far & ~texels.member(head, *inner)


def _bust_fade(texels: Texels, head: ParametricHead, rig: Rig) -> np.ndarray:
    """[N] 0..1: the bust ends softly before the cuts through chest and shoulders, whose edges are ragged."""
    edges = np.sort(head.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    rim = np.unique(unique[counts == 1])
    bust = head.regions["torso"] | head.regions["neck"]
    rim = rim[bust[rim]]
    if not len(rim):
        return np.ones(len(texels.triangle))
    distance, _ = cKDTree(rig.neutral.numpy()[rim]).query(rig.neutral.numpy())
    fade = np.where(bust, np.clip((distance - BUST_FADE[0]) / (BUST_FADE[1] - BUST_FADE[0]), 0, 1), 1.0)
    laplacian = graph_laplacian(head.faces, len(fade))
    for _ in range(FADE_SMOOTHING):
        fade += 0.5 * (laplacian @ fade)
    at_texels = np.where(texels.member(head, "torso", "neck"), texels.sample(head.faces, fade[:, None])[:, 0], 1.0)
    return smoothstep(at_texels)


def _never_seen(texels: Texels, head: ParametricHead) -> np.ndarray:
    """[N] bool: the back of the eyeballs, which no expression turns to the light, and the lash strips: the photo's
    lashes are painted on the lids already, and strips before the eyes would darken them."""
    back = texels.member(head, "eyes") & (texels.normal[:, 2] < -0.1)
    return back | texels.member(head, "lashes")
