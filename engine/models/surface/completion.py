"""Colours where no photo shows any: what lies around, with detail from the other side, and hair's from the front."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from engine.curves import smoothstep
from engine.heads.parametric import ParametricHead
from engine.models.head_gaussians import HALF
from engine.models.surface.kinds import FEWEST
from engine.models.surface.membrane import Membrane
from engine.models.surface.texture import DETAIL, FEATURES, SKIN, Texels, Texture

TWIN_REACH = 0.006  # m between a texel's mirror image and the seen texel that lends its detail
FAR = (0.02, 0.08)  # m from seen hair, from which it takes on all hair's mean, and has
HAIR_REACH, LOWEST = 0.02, 0.1  # m, the same of hair; share of seen hair below which it hangs on
FOLD_RADIUS = 0.05  # m per radian, when hair is folded
MOST_DETAIL = 0.1  # of sRGB's range, that is lent
OUTLIER, ROUNDS, COARSE = 0.08, 3, 0.02  # of sRGB's range, from which a texel counts less in what is around; m
HOLLOWS = ((0.006, 0.003, 0.4), (0.03, 0.03, 0.2))  # m over which a hollow is measured, depth of the darkest, how dark
HAIRLINE, MIXED = 0.009, (0.25, 0.85)  # m over which hair passes into skin; shares from which it does, and has
DRESSED = 0.4  # of the chest that is seen, that must not be skin, or there are no clothes
NECKLINE = 0.012  # m over which cloth passes into skin
HINT, BARE = 0.02, 0.25  # how much a region's name says of what it is, against a photo; and that a face is bare
HAIRY = ("scalp", "face", "neck")  # where hair grows; what falls over ears, photos show
# What no photo shows of parts that are drawn later (engine.models.parts); networks read it.
UNSEEN = {
    "mouth_interior": (0.13, 0.04, 0.04),
    "tongue": (0.50, 0.22, 0.22),
    "teeth": (0.74, 0.70, 0.63),
    "eyes": (0.88, 0.86, 0.84),
}


def complete(
    head: ParametricHead, vertices: np.ndarray, texels: Texels, texture: Texture, skin: Membrane
) -> np.ndarray:
    """[N, 3] colours everywhere: mirrored skin, folded hair and cloth, each in the colour of its surroundings.

    Args:
        vertices: [V, 3] of the person's rig. skin: the sheet of :data:`engine.models.surface.texture.SKIN`.
    """
    colors, seen = texture.colors, texture.seen
    scalp, torso, neck = (texels.member(head, name) for name in ("scalp", "torso", "neck"))
    features, open_lids = texels.member(head, *FEATURES), texels.member(head, "lids")
    bare = np.where(scalp | neck, texture.skin, 1 - texture.hair) * ~torso
    known = texture.strict * ~features * bare
    if known.sum() < FEWEST:
        known = seen * ~features * ~torso
    shade = texture.shade[:, None]
    body = Membrane(vertices, head.faces, head.face_region("torso", *SKIN))
    base = _around(head, texels, body, colors / shade, known) * shade
    shown = texels.smooth(head, skin, colors, seen * ~features * bare, DETAIL)
    detail = colors - np.where(features[:, None], base, shown)  # of plain skin no shadow, which is not the other side's
    made_up = base + _lent(texels, detail, seen * bare * ~open_lids, np.where(features, 1.0, MOST_DETAIL))
    made_up *= _relief(head, texels, skin)[:, None]

    clad = neck * (1 - texture.skin) * (1 - texture.hair)  # a beard is none
    dressed = (torso * seen * (1 - texture.skin)).sum() > DRESSED * (torso * seen).sum()
    cloth_at = torso * ((1 - texture.skin) if dressed else 1.0) + clad  # bare shoulders are no cloth's colour
    if (cloth_at * seen).sum() > FEWEST:
        cloth = _around(head, texels, body, colors, cloth_at * seen)
        cloth += _lent(texels, colors - cloth, cloth_at * seen, np.ones(len(seen)))
        classes, sure_of = torso + seen * clad, np.where(torso, 1.0, BARE + neck * seen)
        share = texels.smooth(head, body, classes[:, None], sure_of, NECKLINE)
        below = texels.member(head, "torso", *SKIN)
        made_up += below[:, None] * smoothstep(share, *MIXED) * (cloth - made_up)

    grown = np.where(scalp, 1 - texture.skin, texture.hair) * texels.member(head, *HAIRY)
    if texture.hair.any():
        hair = _hair(head, texels, skin, colors, grown * seen, texture.sure)
        classes = scalp + texture.glimpsed * (grown - scalp)
        share = texels.smooth(
            head, skin, classes[:, None], np.where(scalp, HINT + texture.glimpsed, BARE + seen), HAIRLINE
        )
        made_up += texels.member(head, *HAIRY)[:, None] * smoothstep(share, *MIXED) * (hair - made_up)

    complete = colors * seen[:, None] + made_up * (1 - seen[:, None])
    face = (seen > HALF) & texels.member(head, "face", "lips")
    light = np.clip(np.median(colors[face], axis=0).mean() / 0.55, 0.4, 1.2) if face.any() else 1.0
    for name, color in UNSEEN.items():
        complete[texels.member(head, name) & (seen <= HALF)] = np.array(color) * light
    return np.clip(complete, 0, 1)


def _relief(head: ParametricHead, texels: Texels, skin: Membrane) -> np.ndarray:
    """[N] how bright skin is for its shape: dark in hollows, as inside ears and nostrils and under the chin."""
    normals = texels.directions
    bright = np.ones(len(normals))
    for length, deepest, dark in HOLLOWS:
        smoothed = texels.smooth(head, skin, texels.position, np.ones(len(normals)), length)
        depth = ((smoothed - texels.position) * normals).sum(axis=1)
        bright = np.minimum(bright, 1 - dark * np.clip(depth / deepest, 0, 1))
    return np.where(texels.member(head, *SKIN), bright, 1.0)


def _around(head: ParametricHead, texels: Texels, sheet: Membrane, colors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[N, 3] the overall colour of what is known, carried over all of a sheet; what differs from what is around it,
    like strands over skin or gloss, counts less.

    Args:
        known: [N] 0..1.
    """
    trust = known
    for _ in range(ROUNDS):
        off = np.abs(colors - texels.smooth(head, sheet, colors, trust, COARSE)).max(axis=1)
        trust = known / (1 + (off / OUTLIER) ** 2)
    return texels.smooth(head, sheet, colors, trust, DETAIL)


def _lent(texels: Texels, detail: np.ndarray, lends: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """[N, 3] the detail [N, 3] of each texel's mirror image, as far as that lends any.

    Args:
        lends: [N] 0..1. bound: [N] the most of it, of sRGB's range.
    """
    givers = np.flatnonzero(lends > 0.01)
    if not len(givers):
        return np.zeros_like(detail)
    reach, twin = _nearest(texels.position[givers], texels.position * [-1, 1, 1], 2 * TWIN_REACH)
    share = lends[givers[twin]] * np.clip(2 - reach / TWIN_REACH, 0, 1)
    return share[:, None] * np.clip(detail[givers[twin]], -bound[:, None], bound[:, None])


def _hair(
    head: ParametricHead, texels: Texels, sheet: Membrane, colors: np.ndarray, known: np.ndarray, sure: np.ndarray
) -> np.ndarray:
    """[N, 3] hair everywhere: the colour of what is seen around, with its strands folded back from the front.

    Args:
        known: [N] 0..1, hair that is seen. sure: [N] bool, far from the matte's rim.
    """
    if (known * sure).sum() > FEWEST:
        known = known * sure
    hair = _around(head, texels, sheet, colors, known)
    scalp = texels.member(head, "scalp")
    givers, takers = np.flatnonzero(scalp & (known > HALF)), np.flatnonzero(texels.member(head, *HAIRY))
    if len(givers) > FEWEST:
        # far from what is seen, hair has its usual colour: the last that is seen of it lies in the head's shadow
        far, _ = cKDTree(texels.position[givers]).query(texels.position[takers], workers=-1)
        far = smoothstep(far, *FAR)[:, None]
        hair[takers] += far * (colors[givers].mean(axis=0) - hair[takers])
        # below what is seen, the lowest of it goes on: as strands hang
        lowest = np.quantile(texels.position[givers, 1], LOWEST)
        places = texels.position[takers].copy()
        places[:, 1] = np.maximum(places[:, 1], lowest)
        reach, twin = _fold(texels.position[givers], places)
        fade = np.clip(2 - reach / HAIR_REACH, 0, 1)[:, None]
        hair[takers] += fade * np.clip((colors - hair)[givers[twin]], -MOST_DETAIL, MOST_DETAIL)
    return hair


def _fold(known: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance [M] to, and index [M] of, the known texel at each unknown one's place once the seen front is folded
    back and forth around the vertical axis onto the unseen back."""
    centre = np.array([0.0, known[:, 1].mean() - 0.04, unknown[:, 2].mean() / 2])

    def polar(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y, z = (points - centre).T
        return np.arctan2(np.abs(x), z), np.arctan2(y, np.hypot(x, z)), np.sign(x)

    azimuth, height, side = polar(known)
    last = np.quantile(azimuth, 0.95)
    turned, level, flank = polar(unknown)
    period = turned % (2 * last)
    folded = np.where(period > last, 2 * last - period, period)
    places = np.column_stack([folded * np.where(flank == 0, 1, flank), level])
    distance, index = _nearest(np.column_stack([azimuth * side, height]), places, 2 * HAIR_REACH / FOLD_RADIUS)
    return distance * FOLD_RADIUS, index


def _nearest(known: np.ndarray, points: np.ndarray, furthest: float) -> tuple[np.ndarray, np.ndarray]:
    """Distance [M] to, and index [M] of, the known place nearest to each point; infinite, and any, beyond
    ``furthest``."""
    distance, index = cKDTree(known).query(points, distance_upper_bound=furthest, workers=-1)
    return distance, np.where(index < len(known), index, 0)
