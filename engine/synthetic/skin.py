"""Paints a person's skin, lips, brows, eyes, mouth and shirt at the texels of the template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.curves import to_linear
from engine.heads.portrait import BROW, IRIS_RADIUS
from engine.noise import fractal
from engine.synthetic.canvas import Canvas
from engine.synthetic.fields import MM, Fields, fields, step
from engine.synthetic.traits import Traits

NECK_BASE = -0.098  # m, height of the template's neck joint
SCLERA, PUPIL = (0.83, 0.80, 0.78), (0.015, 0.012, 0.012)
LINING, TONGUE, GUMS, IVORY = (0.42, 0.14, 0.14), (0.70, 0.36, 0.35), (0.72, 0.40, 0.40), (0.93, 0.90, 0.83)


@dataclass(frozen=True)
class Paint:
    """Per texel [M]: albedo [M, 3] linear light 0..1; height in metres, a relief for shading only; gloss 0..1."""

    albedo: np.ndarray
    height: np.ndarray
    gloss: np.ndarray


def paint(canvas: Canvas, traits: Traits, density: np.ndarray, rng: np.random.Generator) -> Paint:
    """Lay a person over the template.

    Args:
        density: [M] float32 0..1, where hair grows on the scalp.
    """
    at, count = fields(), len(canvas.points)
    albedo = np.full((count, 3), 0.05, np.float32)  # lashes
    height, gloss = np.zeros(count, np.float32), np.zeros(count, np.float32)
    albedo[at.skin], height[at.skin], gloss[at.skin] = _skin(canvas, at, traits, density[at.skin], rng)
    albedo[at.eye], gloss[at.eye] = _eyes(canvas, at, traits, rng), 1.0
    albedo[at.wet], gloss[at.wet] = _mouth(canvas, at, rng), 0.6
    return Paint(to_linear(np.clip(albedo, 0, 1)).astype(np.float32), height, gloss)


def _mix(colours: np.ndarray, other: np.ndarray | tuple[float, ...], share: np.ndarray) -> np.ndarray:
    return colours + (np.asarray(other, np.float32) - colours) * share[:, None]


def _darken(colours: np.ndarray, share: np.ndarray, by: tuple[float, float, float]) -> None:
    """Take ``by`` of red, green and blue away, in place, where ``share`` is 1."""
    colours *= 1 - share[:, None] * np.array(by, np.float32)


def _skin(
    canvas: Canvas, at: Fields, traits: Traits, density: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = canvas.points[at.skin]
    coarse, middle, fine = (
        fractal(points, cell, octaves, rng) for cell, octaves in ((0.05, 1), (0.012, 2), (0.0015, 1))
    )
    blotchy = np.float32(0.014 * traits.blotches)

    albedo = np.full((len(points), 3), traits.skin, np.float32)
    albedo *= (1 + 0.02 * coarse + blotchy * middle + 0.018 * fine)[:, None]
    patches = 0.2 * traits.blotches * np.maximum(middle + 0.5 * coarse - 0.4, 0) * at.face
    _darken(albedo, (0.25 + 0.75 * traits.blood) * (at.flushed + patches), (0.02, 0.15, 0.14))
    _darken(albedo, (0.4 + 0.6 * traits.age) * at.under, (0.10, 0.13, 0.10))
    _darken(albedo, at.lids, (0.08, 0.13, 0.13))
    _darken(albedo, np.float32(0.25 + 0.75 * traits.eyeliner) * at.lashline, (0.75, 0.78, 0.78))
    _darken(albedo, _spots(canvas, at, traits, rng), (0.34, 0.46, 0.52))
    lines = _lines(at, middle, coarse)
    _darken(albedo, np.float32(0.22 * traits.age) * np.minimum(lines, 1), (0.8, 1.0, 1.0))
    albedo = _mix(albedo, traits.lips, at.lips * np.float32(traits.lip_cover) * (1 + 0.06 * middle))
    _darken(albedo, at.lips * at.crease, (0.4, 0.45, 0.45))
    dots = np.clip(0.55 + 0.5 * fine, 0, 1)
    albedo = _mix(albedo, traits.hair * 0.7 + 0.04, np.float32(0.5 * traits.stubble) * at.beard * (1 - at.lips) * dots)
    brows, strands = _brows(canvas, traits, points, rng)
    albedo = _mix(albedo, traits.brow, brows * np.float32(traits.brow_cover))
    roots = traits.hair * 0.75 + traits.skin * (0.25 if traits.style == "buzz" else 0.05)
    albedo = _mix(albedo, roots * (0.8 if traits.style != "buzz" else 1), density * (1 - 0.15 * dots))

    height = MM * (0.05 * traits.pores * fine * (0.4 + 0.6 * at.face) + 0.04 * middle + 0.25 * strands * brows)
    height += MM * (0.06 * at.lips * np.sin(points[:, 0] / (0.35 * MM) + 2 * middle) + 0.12 * fine * density)
    height -= np.float32(MM * (0.03 + 0.33 * traits.age)) * lines
    gloss = np.clip(0.32 + 0.10 * coarse + 0.15 * at.oily + 0.25 * at.lips, 0.1, 0.9) * (1 - 0.6 * density)

    cloth = _cloth(traits, points) * at.bust
    clothed, hem = step(0.45, 0.55, cloth), step(0.55, 0.98, cloth) * step(0.999, 0.985, cloth)
    pattern = (
        lambda: 0 * fine,
        lambda: step(-0.1, 0.1, np.sin(points[:, 1] / 0.0035)),
        lambda: step(-0.5, 1.5, middle),
    )
    shirt = _mix(np.full_like(albedo, traits.shirt), traits.trim, pattern[traits.pattern]())
    _darken(shirt, 0.25 * hem - 0.05 * fine, (1, 1, 1))
    folds = MM * (0.1 * fine + 1.2 * coarse + 3 * step(0.4, 0.6, cloth))
    height, gloss = np.where(clothed > 0.5, folds, height), np.where(clothed > 0.5, 0.05, gloss)
    return _mix(albedo, shirt, clothed), height, gloss


def _lines(at: Fields, middle: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """[S] 0 to about 1.5: how deep the lines lie that come with age; bent and broken by noise."""
    away = np.abs((at.bend + 0.17 * coarse) % 1 - 0.5) * 9
    depth = 0.8 * at.forehead * np.exp(-np.square(away / 0.9))
    depth += at.frown * (0.8 + 0.2 * middle)
    rays = np.abs((at.turn / 0.42 + 0.25 * middle) % 1 - 0.5) * 0.42 * at.away
    depth += 0.7 * at.crow * np.exp(-np.square(rays / (0.7 * MM)))
    return depth + at.folds * (0.8 + 0.2 * middle)


def _spots(canvas: Canvas, at: Fields, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """[S] 0..1: freckles around nose and cheeks, a few moles anywhere on the face."""
    cover, points = np.zeros(len(canvas.points), np.float32), canvas.points
    ahead = at.skin[(at.face > 0.99) & (points[at.skin, 2] > 0.03)]
    middle = np.exp(-np.square((points[ahead] - [0, 0.015, 0.1]) / [0.05, 0.022, 0.06]).sum(axis=1))
    freckles = rng.choice(ahead, traits.freckles, p=middle / middle.sum())
    centres = points[np.concatenate([freckles, rng.choice(ahead, traits.moles)])]
    few = np.arange(len(centres)) >= traits.freckles
    radii = rng.uniform(0.4, 1.1, len(few)) * np.where(few, 1.3, 1.0) * MM
    strengths = rng.uniform(0.2, 0.7, len(few)) * np.where(few, 1.5, 1.0)
    if len(centres):
        nearby = canvas.tree.query_ball_point(centres, 2 * radii)
        for near, centre, radius, strength in zip(nearby, centres, radii, strengths, strict=True):
            fall = strength * np.exp(-np.square(points[near] - centre).sum(axis=1) / radius**2)
            cover[near] = np.maximum(cover[near], fall)
    return np.minimum(cover[at.skin], 1)


def _brows(
    canvas: Canvas, traits: Traits, points: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """[S] 0..1 how far brows cover the skin, and [S] the relief of their hairs."""
    outward, up, half = np.array(BROW).T * MM
    lift, arch, tail, thick = traits.brow_shape
    up = up + MM * (lift + arch * np.array([-0.5, 0.2, 1, 0.5, -0.5]) + tail * np.array([0, 0, 0, 0.4, 1]))
    half = half * np.clip(thick, 0.5, 1.6) * 1.1
    cover, hairs = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32)
    for side, ball in zip((1, -1), canvas.eyes, strict=True):
        x, y = side * (points[:, 0] - ball.centre[0]), points[:, 1] - ball.centre[1]
        near = np.flatnonzero((x > -0.021) & (x < 0.030) & (y > 0.004) & (y < 0.03) & (points[:, 2] > ball.centre[2]))
        x, y = x[near], y[near]
        angle = np.interp(x, outward, np.radians((75, 50, 25, 5, -20)))  # of the hairs: from up to outward and down
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        place = np.stack([along * 0.10, across, np.full_like(x, side)], axis=1).astype(np.float32)
        noise = fractal(place, 0.8 * MM, 2, rng)
        edge = np.abs(y - np.interp(x, outward, up)) + 0.35 * MM * noise
        thickness = np.interp(x, outward, half, left=0, right=0)
        core = step(1.1, 0.5, edge / np.maximum(thickness, 1e-6)) * step(-0.0185, -0.010, x) * step(0.0275, 0.019, x)
        cover[near] = core * np.clip(0.78 + 0.35 * noise, 0, 1)
        hairs[near] = noise
    return cover, hairs


def _eyes(canvas: Canvas, at: Fields, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """[E, 3] sRGB of sclera, iris and pupil; the template looks straight ahead."""
    veins = np.abs(fractal(canvas.points[at.eye], 4 * MM, 3, rng))
    place = np.concatenate([at.spoke, 0.25 * at.iris[:, None]], axis=1)
    rays = fractal(place, 0.3, 2, rng)
    colours = np.full((len(veins), 3), SCLERA, np.float32)
    _darken(colours, step(1.2, 2.2, at.iris) * (0.2 + 0.12 * veins), (0.25, 0.75, 0.75))
    iris = traits.iris.astype(np.float32) * (1.0 + 0.18 * rays + 0.30 * step(0.85, 0.45, at.iris))[:, None]
    iris = _mix(iris, traits.iris * 0.25, step(0.75, 1.0, at.iris))
    colours = _mix(colours, iris, step(1.06, 0.96, at.iris))
    pupil = traits.pupil / IRIS_RADIUS
    return _mix(colours, PUPIL, step(pupil + 0.05, pupil - 0.05, at.iris))


def _mouth(canvas: Canvas, at: Fields, rng: np.random.Generator) -> np.ndarray:
    """[W, 3] sRGB of teeth with gums, tongue and the mouth's lining."""
    noise = fractal(canvas.points[at.wet], 5 * MM, 2, rng)
    colours = np.where(at.tongue[:, None], np.array(TONGUE, np.float32), np.array(LINING, np.float32)) * (
        1 + 0.06 * noise[:, None]
    )
    enamel = np.full_like(colours, np.array(IVORY) * (1 - rng.uniform(0, 0.12) * np.array([0.3, 0.6, 1.2])))
    _darken(enamel, step(0.80, 1.0, at.gap), (0.35, 0.38, 0.42))
    return np.where(at.teeth[:, None], _mix(enamel, GUMS, at.gums), colours)


def _cloth(traits: Traits, points: np.ndarray) -> np.ndarray:
    """[S] 0..1 across the neckline's edge, 5 mm wide."""
    x, y, z = points.T
    ahead = step(-0.02, 0.07, z) * np.exp(-np.square(x / 0.065))
    edge = NECK_BASE + 0.008 - (0.012 + max(traits.neckline, 0)) * ahead - 1.2 * min(traits.neckline, 0)
    return step(0.0025, -0.0025, y - edge)
