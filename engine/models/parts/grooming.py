"""What photos tell of a person's hair: whether there is any, its colours, how long it is, and whether it is curly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from engine.curves import smoothstep
from engine.gaussians.binding import pose, triangle_frames
from engine.gaussians.gaussians import PARTS
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import eyeballs
from engine.locks import CROWN, EYES, Style
from engine.models.head_gaussians import HALF, HeadGaussians
from engine.models.parts.light import GREY
from engine.models.surface.kinds import kinds
from engine.models.surface.texture import FEATURES
from engine.models.surface.views import view_geometry
from engine.photos.photo import Photo
from engine.tracking.tracked import View

SHORT = Style(6500, 7, 0.045, 0.25, 0.0013, 0.003, 0.2, 0.35, 0.0012, 1, "crown", loose=0.003)
LONG = Style(3000, 22, 0.30, 0.06, 0.0016, 0.004, 0.1, 0.7, 0.003, 2, "part", loose=0.012)
ROUND = 0.10  # m that long hair takes around the head
CURLY = (0.65, 0.35)  # coherence of strands from which hair has curls, and has only such
COILED, WAVES, CURLS = 0.4, 0.010, 3.0  # how much shorter curls hang; m that they swing; how many more along a lock
COHERENCE = 8  # px over which strands run in one direction, in straight hair
HANGS = 0.025  # m below the ears, from which hair is long
STEP, THIN, LONGEST = 0.01, 25, 0.3  # m of height, in which hair that goes on has so many Gaussians on a side; m
LAST, LONG_ENOUGH = 0.01, 0.17  # share of what hangs lower than the end of the picture; m below the ears, of hair that
# leaves it
FEWEST = 300  # Gaussians of hair, to learn from
LEVELS = 24  # of lightness, whose usual colours are told apart
DARKEST, LIGHTEST = 0.04, 0.97  # shares of the photographed hair that is darker than any made up, and than all
UNUSUAL = 0.03  # of sRGB's range: hair is not bluer than red; a scarf or a hat is


@dataclass(frozen=True)
class Groom:
    """A person's hair.

    Attributes:
        style: how it grows.
        colors: [LEVELS, 3] from dark to light, each standing for an equal share of it.
        tips: height in metres where long hair ends on the head's left and right; None where hair is short.
        front: metres, how far forward it falls.
        shift: [3] metres from this head model's places to the default one's, where locks know their way.
        position: [N, 3] metres, all Gaussians at rest. hair: [N] 0..1, how much they are hair.
        scalp: [N] bool, on the scalp. shown: [N] bool, hair on the scalp that a photo shows.
    """

    style: Style
    colors: np.ndarray
    tips: tuple[float, float] | None
    front: float
    shift: np.ndarray
    position: np.ndarray
    hair: np.ndarray
    scalp: np.ndarray
    shown: np.ndarray


def groom_of(model: HeadGaussians, photos: Sequence[Photo], head: ParametricHead) -> Groom | None:
    """What the photos tell; None of a bald or shaved head, and of one in a hat or a scarf."""
    g, rig = model.gaussians, model.rig
    triangles, surface = g.triangles.numpy(), (g.parts == PARTS.index("surface")).numpy()
    position = pose(g, rig.neutral, rig.faces, triangle_frames(rig.neutral, rig.faces)[1]).means.numpy()
    position = position.astype(np.float64)
    colors, seen = g.colors.numpy().astype(np.float64), model.seen.numpy() > HALF

    def on(*regions: str) -> np.ndarray:
        return head.face_region(*regions)[triangles] & surface

    scalp = on("scalp")
    _, hair = kinds(colors, position[:, 1], on("face") & ~on(*FEATURES) & seen, scalp, seen)
    shown, loose = scalp & seen & (hair > HALF), ~surface & (hair > HALF)
    known = colors[shown | loose]
    if min(len(known), scalp.sum()) < FEWEST or known.mean(axis=0)[2] > known.mean(axis=0)[0] + UNUSUAL:
        return None
    order = np.argsort(known.mean(axis=1))[int(DARKEST * len(known)) : int(LIGHTEST * len(known))]
    palette = np.stack([known[level].mean(axis=0) for level in np.array_split(order, LEVELS)])
    _, ears, front = position[on("ears")].min(axis=0).tolist()
    end = float(np.quantile(position[~surface, 1], LAST)) if (~surface).any() else ears
    tips = tuple(_tip(position[loose & (side * position[:, 0] > 0), 1], ears, end) for side in (1, -1))
    long = ears - min(tips) > HANGS
    shift = EYES - np.mean([ball.centre for ball in eyeballs(head.template, head.regions["eyes"])], axis=0)
    style = replace(LONG, length=CROWN[1] - shift[1] - min(tips) + ROUND) if long else SHORT
    leading = model.shoot.leading
    curly = 1 - smoothstep(np.array(_coherence(model, photos[leading], model.views[leading], head)), *CURLY[::-1])
    length = style.length * (1 - COILED * curly)
    style = replace(style, length=length, wave=style.wave + WAVES * curly, waves=style.waves + CURLS * curly)
    return Groom(style, palette, (tips[0], tips[1]) if long else None, front, shift, position, hair, scalp, shown)


def _tip(heights: np.ndarray, ears: float, end: float) -> float:
    """Height in metres down to which hair hangs without a gap on one side.

    Args:
        heights: [M] of loose hair. ears: of their lower end. end: of the picture's; where hair goes on down to it,
            nobody knows how much longer it is.
    """
    edges = np.arange(ears, ears - LONGEST, -STEP)
    counts = [((heights <= top) & (heights > top - STEP)).sum() for top in edges]
    tip = float(edges[next((i for i, count in enumerate(counts) if count < THIN), len(edges) - 1)])
    return min(tip, ears - LONG_ENOUGH) if tip < min(ears - HANGS, end + 2 * STEP) else tip


def _coherence(model: HeadGaussians, photo: Photo, view: View, head: ParametricHead) -> float:
    """0..1: how far strands beside each other run in one direction in a photo; 1 where it shows none.

    The structure tensor's anisotropy (Bigün and Granlund 1987).
    """
    raster = view_geometry(model.rig, view).raster
    where = raster.covered & head.face_region("scalp")[raster.triangle] & (photo.alpha > 0.95) & photo.valid
    where = cv2.erode(where.astype(np.uint8), np.ones((COHERENCE + 1,) * 2, np.uint8)).astype(bool)
    if not where.any():
        return 1.0
    grey = cv2.GaussianBlur((photo.image @ GREY).astype(np.float32), (0, 0), 1)
    x, y = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    xx, xy, yy = (cv2.GaussianBlur(product, (0, 0), COHERENCE)[where] for product in (x * x, x * y, y * y))
    return float(np.sqrt((xx - yy) ** 2 + 4 * xy**2).sum() / max((xx + yy).sum(), 1e-12))
