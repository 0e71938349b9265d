"""Hair that no photo shows: locks grown on the scalp from the photographed hair to the nape, and down the back.

The hull says how thick hair is, the photos what it looks like, a groom how it goes on behind (:mod:`engine.locks`), in
the photographed hair's own colours: of each lightness it gets its share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from scipy.special import ndtr

from engine.curves import smoothstep
from engine.gaussians.gaussians import PARTS
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import vertex_normals
from engine.locks import Skull, Style, hairline, paths
from engine.models.head_gaussians import HALF, HeadGaussians
from engine.models.parts.grooming import FEWEST, LEVELS, Groom, groom_of
from engine.models.parts.placing import Strokes, joined, tie
from engine.models.surface.beyond import LEVEL, drape, still_triangles
from engine.models.surface.hull import SOLID
from engine.models.surface.views import pixels_of, view_geometry
from engine.noise import fractal
from engine.photos.photo import Photo

LOCK, BETWEEN, ALONG = 0.006, 0.55, 0.35  # m across a lock; how much locks differ in lightness, and strands of one
DEEP, PATCHY, GLOSS = 0.4, 0.25, 0.6  # how much lighter are strands on top, pieces of one, and hair that faces up
TAPER = ((0, 0.2, 0.75, 1), (0.6, 1, 0.9, 0.25))  # width along a strand
COVER = ((0, 0.08, 0.8, 1), (0.3, 1, 1, 0.4))  # opacity along it
FLAT, OVERLAP, OPAQUE = 0.45, 0.55, 0.9  # thickness over width; deviation over the length of a piece; most opacity
OVER_HULL = 0.012  # m over the hull, from which a lock hangs free
ENDS = 1.1  # of a piece's length: how far from its middle it is still seen
BEHIND, RIM = 0.004, 4  # m behind what a photo sees; px inside the person in it: the outline is the photo's
NEAR = (0.01, 0.05)  # m from seen hair over which the colours there pass into all hair's
UNEVEN, ENDING = 0.012, 0.03  # m by which tips differ, and over which hair thins out
NAPE = 0.008  # m around the hairline at the nape over which short hair thins out
BARE = ("ears", "face", "lids", "brows", "lips")  # what no made-up lock lies on
FAINT = 0.05
AROUND, MOSTLY = 24, (0.05, 0.4)  # neighbours on the scalp; their mean of being seen, between which a place is
SHADED = LEVELS // 4  # the colour under the locks
WIDER = 0.01  # m beside the hull that hanging hair spreads
TURNED = 0.1  # z of the normal of skin up to which it falls on it: not on the chest
DEEPER = 0.9  # of how loose hair is, by which the hull is sunk under it besides the layer, where no photo sees it
SHAVEN, BEHIND_EARS = 0.4, 110  # length of the nape's hair over the rest's; degrees from the front, from which it is
CLOSE = 0.006  # m over the nape to which short hair stands off


@dataclass(frozen=True)
class Pieces:
    """Locks cut into M straight pieces: a Gaussian each, as yet without a colour.

    Attributes:
        strokes: their places and shapes. height: [M] metres over the hull.
        lightness: [M], mean 0 and deviation 1: how light each is for this hair.
    """

    strokes: Strokes
    height: np.ndarray
    lightness: np.ndarray


def grow_hair(model: HeadGaussians, photos: Sequence[Photo], head: ParametricHead) -> HeadGaussians:
    """The head with locks where no photo sees the scalp; as it was where it is bald or shaved."""
    groom = groom_of(model, photos, head)
    if groom is None:
        return model
    square = _even(model, groom)
    azimuth, line = hairline(groom.position + groom.shift)
    nape = ~_on(model, head, "ears") & (azimuth > BEHIND_EARS) & (groom.position[:, 1] + groom.shift[1] > line)
    haired = (groom.scalp & (groom.hair > HALF)) | nape & (square == 0)
    grown = np.flatnonzero(haired & (groom.scalp | (groom.tips is None)))
    if len(grown) < FEWEST:
        return model
    pieces = _grow(model, head, groom, grown)
    strokes, free = pieces.strokes, pieces.height > OVER_HULL
    surface = np.flatnonzero((model.gaussians.parts == PARTS.index("surface")).numpy())
    _, nearest = cKDTree(groom.position[surface]).query(strokes.means, workers=-1)
    under = surface[nearest]
    on_scalp = groom.scalp[under]

    share = np.where(free, 1.0, 1 - square[under]) * (free | ~_on(model, head, *BARE)[under])
    ends = np.concatenate(
        [strokes.means + end * strokes.along for end in (-ENDS, 0.0, ENDS)]
    )  # no tip sticks out, either
    share *= _hidden(model, photos, ends, np.tile(free | ~on_scalp, 3)).reshape(3, -1).all(axis=0)
    share *= _ending(groom, strokes, on_scalp, pieces.height)
    kept = np.flatnonzero(share > FAINT)
    if not len(kept):
        return model

    rank = ndtr(pieces.lightness[kept]) * (LEVELS - 1)
    colors = np.stack([np.interp(rank, np.arange(LEVELS), groom.colors[:, c]) for c in range(3)], axis=1)
    far, _ = cKDTree(groom.position[groom.shown]).query(strokes.means[kept], workers=-1)
    local = model.gaussians.colors.numpy()[under[kept]] - groom.colors[LEVELS // 2]
    colors += ((1 - smoothstep(far, *NEAR)) * ~free[kept])[:, None] * local
    made = tie(
        Strokes(
            strokes.means[kept],
            strokes.along[kept],
            strokes.normals[kept],
            strokes.scales[kept],
            strokes.opacities[kept] * share[kept],
            colors,
        ),
        model.rig,
        still_triangles(head),
        LEVEL,
    )
    parts = np.where((free | ~on_scalp)[kept], PARTS.index("hair"), PARTS.index("surface")).astype(np.uint8)
    made = replace(made, parts=torch.from_numpy(parts))
    everything = np.ones(len(model.gaussians), bool)
    return joined(_sunk(model, groom, haired * (1 - square)), everything, model.fixed, [made])


def _on(model: HeadGaussians, head: ParametricHead, *regions: str) -> np.ndarray:
    """[N] bool: Gaussians on triangles of the regions."""
    return head.face_region(*regions)[model.gaussians.triangles.numpy()]


def _even(model: HeadGaussians, groom: Groom) -> np.ndarray:
    """[N] 0..1: how squarely a photo sees each; on the scalp without crumbs, which made-up locks would leave open."""
    square, scalp = model.square.numpy().astype(np.float64), np.flatnonzero(groom.scalp)
    _, near = cKDTree(groom.position[scalp]).query(groom.position[scalp], k=AROUND, workers=-1)
    square[scalp] = smoothstep(square[scalp][near].mean(axis=1), *MOSTLY)
    return square


def _sunk(model: HeadGaussians, groom: Groom, unseen: np.ndarray) -> HeadGaussians:
    """The head with its hull under the locks, and dark there, as far as it is ``unseen`` [N] 0..1."""
    g = model.gaussians
    depth = _depth(groom.style) * unseen * groom.scalp
    offsets = g.offsets - torch.from_numpy(depth[:, None] * [0, 0, 1.0]).float()
    shade = torch.from_numpy(groom.colors[SHADED]).float()
    colors = g.colors + torch.from_numpy(unseen).float()[:, None] * (shade - g.colors)
    return replace(model, gaussians=replace(g, offsets=offsets, colors=colors))


def _depth(style: Style) -> float:
    """Metres between the hull and what it is sunk to."""
    return style.layer + DEEPER * style.loose


def _grow(model: HeadGaussians, head: ParametricHead, groom: Groom, grown: np.ndarray) -> Pieces:
    """All locks, rooted at some of the Gaussians ``grown`` [K], over the hull."""
    random, style = np.random.default_rng(0), groom.style
    vertices = model.rig.neutral.numpy().astype(np.float64)
    outside = np.logical_or.reduce([head.regions[name] for name in ("face", "scalp", "ears", "neck", "torso")])
    outside &= ~head.regions["mouth_interior"]
    normals = vertex_normals(vertices, head.faces)
    sunk = vertices + groom.shift - _depth(style) * normals * head.regions["scalp"][:, None]
    skull = Skull(sunk[outside], normals[outside], cKDTree(sunk[outside]))
    areas = np.prod(model.cover.numpy()[grown, :2].astype(np.float64), axis=1)
    chosen = random.choice(grown, style.count, p=areas / areas.sum())
    roots = groom.position[chosen] + groom.shift
    lengths = style.length * np.exp(random.normal(0, style.jitter, style.count))
    lengths[~groom.scalp[chosen]] *= SHAVEN
    path = paths(style, roots, lengths, skull, random) - groom.shift

    middle, along = (path[:, 1:] + path[:, :-1]) / 2, path[:, 1:] - path[:, :-1]
    count, cuts = middle.shape[:2]
    height, normals = skull.nearest(middle + groom.shift)
    at = (np.arange(cuts) + 0.5) / cuts
    width = 0.5 * style.width * np.interp(at, *TAPER) * random.uniform(0.7, 1.3, (count, 1))
    scales = np.stack([OVERLAP * np.linalg.norm(along, axis=2), width, FLAT * width], axis=2)
    lightness = (
        BETWEEN * fractal((roots * [1, 0.4, 1]).astype(np.float32), LOCK, 2, random)[:, None]
        + ALONG * random.normal(0, 1, (count, 1))
        + DEEP * np.clip(height / style.layer, 0, 1)
        + PATCHY * np.cos(2 * np.pi * (at + random.uniform(0, 1, (count, 1))))
        + GLOSS * normals[..., 1]
    ).ravel()
    opacity = np.broadcast_to(OPAQUE * np.interp(at, *COVER), height.shape)
    fields = middle, along, normals, scales, opacity, np.zeros_like(middle)
    strokes = Strokes(*(values.reshape(count * cuts, *values.shape[2:]) for values in fields))
    return Pieces(strokes, height.ravel(), (lightness - lightness.mean()) / lightness.std())


def _hidden(model: HeadGaussians, photos: Sequence[Photo], means: np.ndarray, loose: np.ndarray) -> np.ndarray:
    """[M] bool: places on the neutral head that no photo shows to be empty, nor, where hair is ``loose`` [M], to be
    taken by something else."""
    hidden = np.ones(len(means), bool)
    for i in np.flatnonzero(model.shoot.alike).tolist():
        photo, view = photos[i], model.views[i]
        turn = model.rig.head_transform(torch.from_numpy(view.joint_rotations).float()).numpy().astype(np.float64)
        row, column, inside, depth = pixels_of(means @ turn[:3, :3].T + turn[:3, 3], view)
        beyond = distance_transform_edt(photo.alpha > SOLID)[row, column] < RIM
        before = depth < drape(view_geometry(model.rig, view), view)[row, column] + BEHIND
        hidden &= ~(inside & photo.valid[row, column] & (beyond | (before & loose)))
    return hidden


def _ending(groom: Groom, strokes: Strokes, on_scalp: np.ndarray, height: np.ndarray) -> np.ndarray:
    """[M] 0..1: how much of the hair is left towards its tips.

    Args:
        on_scalp: [M] bool. height: [M] metres over the hull.
    """
    means, uneven = strokes.means, np.random.default_rng(1).normal(size=len(height))
    if groom.tips is None:
        line = hairline(means + groom.shift)[1] - groom.shift[1]
        over = smoothstep(means[:, 1] - line + UNEVEN / 2 * uneven, -NAPE, NAPE)
        return np.where(on_scalp, 1.0, over * (height < CLOSE + CLOSE / 2 * uneven))
    left = smoothstep(means[:, 0], -0.05, 0.05)
    tip = groom.tips[0] * left + groom.tips[1] * (1 - left)
    wide = np.abs(groom.position[groom.scalp, 0]).max() + WIDER
    behind = (means[:, 2] < groom.front + UNEVEN * uneven) & (strokes.normals[:, 2] < TURNED)
    behind &= np.abs(means[:, 0]) < wide
    return smoothstep(means[:, 1] - tip + UNEVEN * uneven, 0, ENDING) * (on_scalp | behind)
