"""Whole eyes from the sectors that photos show: iris, pupil and sclera as a function of the angle to the gaze.

A photo shows a third of an eyeball, with the lid's shadow and a lamp's reflection on it. As texture these turn with the
gaze and leave torn borders; so only a few colours are measured, and the eye is drawn from them. Reflection and shadow
are Gaussians of their own, tied to what they belong to. (The decomposition follows Wood et al., "A 3D morphable eye
region model", ECCV 2016.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engine.curves import smoothstep
from engine.heads.landmarks import EYE_RIMS
from engine.heads.portrait import IRIS_RADIUS, Eyeball
from engine.models.parts.light import GREY, Light
from engine.models.parts.placing import Strokes, discs
from engine.photos.openings import within
from engine.photos.photo import Photo

IRIS_STEP, WHITE_STEP = 0.00026, 0.00055  # m between Gaussians
REACH = math.radians(82)  # from the gaze, as far as a turned eye may show
OVERLAP = 0.75  # standard deviation in steps
PUPIL = 0.28  # of the iris' radius
IRIS_SHARE = 0.88  # of the radius that the detector takes for the iris', where photos have its edge
LIMBUS, SOFT = 0.14, 0.05  # width of the dark ring, softness of edges, in radii of the iris
FIBRES = 0.006  # of the iris' luminance, amplitude of its streaks
SMALLEST = 4.0  # px of radius, under which an iris shows no colour
LEAST = 25  # px that a colour is taken from
GLINT_ABOVE = 0.22  # of sRGB's range that a reflection stands out of the iris
GLINT_AT = (-0.30, -0.38)  # in radii of the iris, to the right and down in the picture, where no photo shows one
PLAIN_IRIS, PLAIN_WHITE = np.array([0.30, 0.22, 0.16]), np.array([0.80, 0.77, 0.74])
DARKEST = 0.08  # of a pupil
WHITE_CHROMA, WHITE_RANGE = 0.10, (0.35, 0.92)  # of sRGB's range that a sclera may have


@dataclass(frozen=True)
class EyeLook:
    """inner, outer: colours [3] of the iris beside the pupil and within its rim; white: of the sclera; glint: [2] place
    of the lamp's reflection, radii of the iris to the right and down in a picture from in front."""

    inner: np.ndarray
    outer: np.ndarray
    white: np.ndarray
    glint: np.ndarray


def measure(photos: Sequence[Photo], light: Light) -> EyeLook:
    """The colours of both eyes together, from the photos in which they are largest."""
    sights = [sight for photo in photos for first in EYE_RIMS if (sight := _sight(photo, first)) is not None]
    largest = max((sight[2] for sight in sights), default=0.0)
    sights = [sight for sight in sights if sight[2] > 0.6 * largest]
    white, iris, glint = light.on(PLAIN_WHITE), light.on(PLAIN_IRIS), np.array(GLINT_AT)
    inner = outer = iris
    if sights:
        colors, offset = (np.concatenate([sight[k] for sight in sights]) for k in (0, 1))
        far, grey = np.linalg.norm(offset, axis=1), colors @ GREY
        lower = offset[:, 1] > -0.2  # above, the lid's shadow lies on the eye
        outer = _plain(colors[(far > 0.62) & (far < 0.88) & lower], iris)
        inner = _plain(colors[(far > 0.42) & (far < 0.62) & lower], outer)
        bright = (far > 1.2) & lower
        if bright.sum() > LEAST:
            white = np.median(colors[bright & (grey >= np.quantile(grey[bright], 0.7))], axis=0)
        glints = [place for sight in sights if (place := _glint(*sight[:2])) is not None]
        glint = np.median(glints, axis=0) if glints else glint
    level = float(np.clip(white @ GREY, *WHITE_RANGE))
    tint = np.clip(white - white @ GREY, -WHITE_CHROMA / 2, WHITE_CHROMA / 2)
    return EyeLook(inner, outer, level + tint, glint)


def _sight(photo: Photo, first: int) -> tuple[np.ndarray, np.ndarray, float] | None:
    """An open eye: colours [M, 3], places [M, 2] in radii of the iris about its centre, and that radius in px."""
    points = photo.landmarks[:, :2].astype(np.float64)
    centre = points[first]
    radius = float(np.linalg.norm(points[first + 1 : first + 5] - centre, axis=1).mean())
    inside = within(points[list(EYE_RIMS[first])], *photo.alpha.shape).astype(np.uint8)
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8))
    row, column = np.nonzero(inside.astype(bool) & photo.valid)
    if radius < SMALLEST or len(row) < 0.8 * radius**2:
        return None
    offset = (np.stack([column, row], axis=1) + 0.5 - centre) / radius
    return photo.image[row, column].astype(np.float64), offset, radius


def _plain(colors: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """[3] the colour of an iris without reflections and lashes: the median between its darkest and brightest parts."""
    if len(colors) < LEAST:
        return otherwise
    grey = colors @ GREY
    low, high = np.quantile(grey, (0.1, 0.8))
    return np.median(colors[(grey >= low) & (grey <= high)], axis=0)


def _glint(colors: np.ndarray, offset: np.ndarray) -> np.ndarray | None:
    """[2] where the brightest spot on an iris lies, or None."""
    # below, it would be the white beside the iris
    near = (np.linalg.norm(offset, axis=1) < 0.8) & (offset[:, 1] < 0.15)
    if near.sum() < LEAST:
        return None
    grey = colors[near] @ GREY
    spot = grey > np.median(grey) + GLINT_ABOVE
    return offset[near][spot].mean(axis=0) if 2 <= spot.sum() < 0.3 * len(spot) else None


def limbus(ball: Eyeball) -> float:
    """Radians between the gaze and the edge of the drawn iris."""
    return math.asin(min(IRIS_SHARE * IRIS_RADIUS / ball.radius, 0.9))


def draw(ball: Eyeball, look: EyeLook, seed: int = 0) -> Strokes:
    """Discs on the front of an eyeball, gaze along +z."""
    limb = limbus(ball)
    iris = _cap(0.0, limb * 1.15, IRIS_STEP / ball.radius)
    white = _cap(limb * 1.15, REACH, WHITE_STEP / ball.radius)
    direction = np.concatenate([iris, white])
    radius = np.concatenate([np.full(len(iris), IRIS_STEP), np.full(len(white), WHITE_STEP)]) * OVERLAP
    colors = _paint(direction, limb, look, np.random.default_rng(seed))
    return discs(ball.centre + ball.radius * direction, direction, radius, colors, 0.98)


def glint(ball: Eyeball, look: EyeLook, light: Light) -> Strokes:
    """The reflection of a lamp, just before the eyeball: a small bright disc and a faint wide one."""
    x, y = look.glint * IRIS_RADIUS / ball.radius
    direction = np.array([x, -y, math.sqrt(max(1 - x * x - y * y, 0.1))])
    place = ball.centre + (ball.radius + 0.0002) * direction
    bright = np.tile(np.clip(light.brightness * np.array([0.95, 0.97, 1.0]), 0, 1), (2, 1))
    made = discs(np.tile(place, (2, 1)), np.tile(direction, (2, 1)), np.array([0.00042, 0.0009]), bright, 0.85)
    made.opacities[1] = 0.15
    return made


def _cap(low: float, high: float, step: float) -> np.ndarray:
    """[M, 3] directions between two angles from +z, evenly spread (a Fibonacci lattice), ``step`` radians apart."""
    share = (1 - math.cos(high)) / 2
    count = max(int(4 * math.pi / step**2), 8)
    k = np.arange(int(count * (1 - math.cos(low)) / 2), int(count * share)) + 0.5
    z = 1 - 2 * k / count
    turn = k * math.pi * (3 - math.sqrt(5))
    across = np.sqrt(np.maximum(1 - z * z, 0))
    return np.stack([across * np.cos(turn), across * np.sin(turn), z], axis=1)


def _paint(direction: np.ndarray, limb: float, look: EyeLook, random: np.random.Generator) -> np.ndarray:
    """[M, 3] the eye's colours at directions from its centre."""
    angle = np.arccos(np.clip(direction[:, 2], -1, 1))
    far = angle / limb

    def step(edge: float, soft: float = SOFT) -> np.ndarray:
        return smoothstep(far, edge - soft, edge + soft)[:, None]

    across = np.clip((far - PUPIL) / (1 - PUPIL), 0, 1)[:, None]
    iris = look.inner * (1 - across) + look.outer * across
    azimuth = np.arctan2(direction[:, 1], direction[:, 0])
    phases = random.uniform(0, 2 * np.pi, 3)
    fibres = np.sin(np.outer(azimuth, (23, 41, 67)) + phases).sum(axis=1)
    iris = iris * (1 + FIBRES * fibres[:, None])
    iris = iris * (1 - 0.45 * step(1 - LIMBUS, LIMBUS / 2))
    pupil = np.minimum(look.inner * 0.2, DARKEST * np.ones(3))
    colors = pupil + (iris - pupil) * step(PUPIL)
    # the sclera: whitest beside the iris, warmer and darker towards the corners, as a ball is
    side = np.clip((angle - limb) / (REACH - limb), 0, 1)[:, None]
    warm = look.white * [1.0, 0.93, 0.90]
    white = (look.white * (1 - side) + warm * side) * (1 - 0.35 * side**1.5)
    return colors + (white - colors) * step(1.0, 0.04)
