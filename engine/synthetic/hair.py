"""Grows hair and beards: tapered ribbons, each a lock, that leave the skin, follow a flow and fall."""

from __future__ import annotations

from dataclasses import dataclass, fields as names_of, replace
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree

from engine.curves import to_linear
from engine.locks import CROWN, KNOT, Skull, Style, hairline, paths
from engine.noise import fractal
from engine.synthetic.canvas import Canvas, canvas
from engine.synthetic.fields import fields, step
from engine.synthetic.traits import Traits

ROOT_ON = (0.02, 0.35)  # of a texel's density, between which hair starts to grow
LOOSE = (-0.02, -0.13)  # m of height between which long hair passes from the head's motion to the torso's
GREY = (0.62, 0.62, 0.63)


STYLES = {
    "buzz": Style(2600, 3, 0.007, 0.2, 0.0022, 0.003, 0.9, 0.0, 0.0, 0, "crown"),
    "crop": Style(2600, 4, 0.030, 0.25, 0.0045, 0.010, 0.35, 0.25, 0.001, 1, "crown"),
    "swept": Style(2200, 6, 0.075, 0.2, 0.0050, 0.016, 0.45, 0.15, 0.002, 1, "back"),
    "parted": Style(2200, 6, 0.080, 0.2, 0.0050, 0.014, 0.35, 0.35, 0.002, 1, "part"),
    "fringe": Style(2200, 7, 0.095, 0.15, 0.0050, 0.012, 0.22, 0.5, 0.002, 1, "crown", True),
    "bob": Style(2200, 9, 0.190, 0.08, 0.0055, 0.014, 0.30, 0.6, 0.003, 1.5, "part", False, -0.06),
    "long": Style(2100, 11, 0.330, 0.08, 0.0060, 0.014, 0.30, 0.7, 0.005, 2, "part", False, -0.20),
    "curls": Style(2300, 9, 0.085, 0.25, 0.0050, 0.030, 0.80, 0.3, 0.009, 2.5, "crown"),
    "afro": Style(3600, 5, 0.026, 0.2, 0.0050, 0.055, 0.55, 0.0, 0.008, 1.2, "out"),
    "tied": Style(2200, 8, 0.200, 0.05, 0.0050, 0.006, 0.15, 0.0, 0.001, 1, "knot"),
}
BEARD = Style(1100, 4, 0.01, 0.3, 0.0022, 0.004, 0.7, 0.5, 0.001, 1, "down")
TAIL = Style(260, 9, 0.20, 0.15, 0.0060, 0.004, 0.6, 0.9, 0.005, 2, "tail")


@dataclass(frozen=True)
class Hair:
    """Ribbons in a person's rest space; H vertices, K triangles.

    Attributes:
        vertices: [H, 3] metres. faces: [K, 3] int32 into them. tangents: [H, 3] unit, from root to tip.
        normals: [H, 3] unit, of the hair's volume. colors: [H, 3] linear light. across: [H] -1 or 1, the ribbon's rim.
        strand: [H] a number of the lock in 0..1. openness: [H] 0..1.
        triangle: [H] int64 and barycentric: [H, 3], where the lock is rooted: expressions carry it along.
        skin_weights: [H, J + 1].
    """

    vertices: np.ndarray
    faces: np.ndarray
    tangents: np.ndarray
    normals: np.ndarray
    colors: np.ndarray
    across: np.ndarray
    strand: np.ndarray
    openness: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    skin_weights: np.ndarray


def scalp_density(sheet: Canvas, traits: Traits, rng: np.random.Generator) -> np.ndarray:
    """[M] float32 0..1: where hair grows on the scalp; its line is uneven, goes back with age, thins at the crown."""
    if traits.style == "bald":
        return np.zeros(len(sheet.points), np.float32)
    above, corner, bare, skull = _scalp()
    grown = np.flatnonzero(skull)
    noise = fractal(sheet.points[grown], 0.012, 2, rng)
    line = above[grown] - traits.receding * (0.028 * corner[grown] + 0.010) + 0.0022 * noise
    thin = np.clip(traits.receding * 1.6 - 0.7, 0, 1) * bare[grown]
    density = np.zeros(len(sheet.points), np.float32)
    density[grown] = step(-0.003, 0.006, line) * (1 - thin) * skull[grown]
    return density


@lru_cache(maxsize=1)
def _scalp() -> tuple[np.ndarray, ...]:
    """[M] each: metres above the hairline; 0..1 at its front corners; 0..1 at the crown; 0..1 on skin that can grow."""
    sheet = canvas()
    x, y, z = sheet.points.T
    azimuth, line = hairline(sheet.points)
    corner = np.exp(-np.square((azimuth - 38) / 16)) + 0.35 * np.exp(-np.square(azimuth / 20))
    bare = np.exp(-np.square((sheet.points - CROWN) / 0.05).sum(axis=1))
    able = sheet.member("face", "scalp", "neck") * (1 - sheet.member("ears")) * sheet.on(0)
    return tuple(np.asarray(values, np.float32) for values in (y - line, corner, bare, step(0.5, 0.95, able)))


@lru_cache(maxsize=1)
def _texel_areas() -> np.ndarray:
    """[M] relative areas of the texels on the template."""
    sheet = canvas()
    a, b, c = sheet.head.template[sheet.head.faces].transpose(1, 0, 2).astype(np.float64)
    u, v, w = sheet.head.uv[sheet.head.uv_faces].transpose(1, 0, 2).astype(np.float64)
    flat = np.abs((v - u)[:, 0] * (w - u)[:, 1] - (v - u)[:, 1] * (w - u)[:, 0])
    return (np.linalg.norm(np.cross(b - a, c - a), axis=1) / np.maximum(flat, 1e-12))[sheet.triangle]


def grow(
    sheet: Canvas, traits: Traits, density: np.ndarray, neutral: np.ndarray, normals: np.ndarray,
    rng: np.random.Generator,
) -> Hair:  # fmt: skip
    """All of a person's hair.

    Args:
        density: [M] from :func:`scalp_density`.
        neutral, normals: [V, 3] the person's head at rest.
    """
    head = sheet.head
    outside = np.logical_or.reduce([head.regions[name] for name in ("face", "scalp", "ears", "neck", "torso")])
    outside &= ~head.regions["mouth_interior"]
    skull = Skull(neutral[outside], normals[outside], cKDTree(neutral[outside]))
    parts = []
    if traits.style in STYLES:
        style = STYLES[traits.style]
        style = replace(style, length=style.length * rng.uniform(0.8, 1.25), wave=style.wave * rng.uniform(0.3, 1.8),
                        lift=style.lift * rng.uniform(0.7, 1.2), layer=style.layer * rng.uniform(0.7, 1.3))  # fmt: skip
        parts.append(_locks(sheet, style, traits, density, neutral, skull, rng))
        if traits.style == "tied":
            tail = replace(TAIL, length=TAIL.length * rng.uniform(0.3, 1.3))
            parts.append(_locks(sheet, tail, traits, density, neutral, skull, rng))
    if traits.beard:
        at, zone = fields(), np.zeros(len(sheet.points), np.float32)
        zone[at.skin] = at.beard * (at.lips < 0.1)
        beard = replace(BEARD, length=traits.beard)
        parts.append(_locks(sheet, beard, traits, zone, neutral, skull, rng))
    return _join(parts, len(head.joint_names) + 1)


def _locks(
    sheet: Canvas, style: Style, traits: Traits, density: np.ndarray, neutral: np.ndarray, skull: Skull,
    rng: np.random.Generator,
) -> Hair:  # fmt: skip
    head = sheet.head
    odds = _texel_areas() * step(*ROOT_ON, density)
    if odds.sum() <= 0:
        return _join([], len(head.joint_names) + 1)
    cumulated = np.cumsum(odds)
    texels = np.searchsorted(cumulated, rng.uniform(0, cumulated[-1], style.count)).clip(0, len(odds) - 1)
    triangle, barycentric = sheet.triangle[texels], sheet.barycentric[texels]
    roots = np.einsum("nkc,nk->nc", neutral[head.faces[triangle]], barycentric)
    lengths = style.length * np.exp(rng.normal(0, style.jitter, style.count))
    if style.flow == "out":  # curls at every height of the layer stand for those that spring from the skin
        roots = roots + skull.nearest(roots)[1] * style.layer * rng.uniform(0, 1, (style.count, 1)) ** 0.7
    if style.fringe:  # not over the eyes
        lengths *= 1 - 0.42 * step(0.03, 0.07, roots[:, 2])
    if style.flow == "tail":
        roots = KNOT + rng.normal(0, 0.006, roots.shape)
    if style.flow == "down":  # a moustache stays short
        lengths *= np.where(sheet.points[texels, 1] > -0.02, 0.5, 1.0)
    path = paths(style, roots, lengths, skull, rng)  # [N, S, 3]

    height, normal = skull.nearest(path)
    tangents = np.gradient(path, axis=1)
    tangents /= np.maximum(np.linalg.norm(tangents, axis=-1, keepdims=True), 1e-9)
    outward = normal + 0.6 * (path - roots.mean(axis=0)) / 0.1
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    side = np.cross(tangents, normal + 0.5 * rng.normal(0, 1, (style.count, 1, 3)))
    side /= np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)
    along = np.linspace(0, 1, style.stations)
    taper = np.interp(along, (0, 0.25, 0.7, 1), (0.75, 1, 0.85, 0.08))[:, None] * style.width
    half = 0.5 * taper * rng.uniform(0.6, 1.4, (style.count, 1, 1))
    vertices = np.stack([path - half * side, path + half * side], axis=2)  # [N, S, 2, 3]

    colour = np.tile(traits.hair, (style.count, 1)) * np.exp(rng.normal(0, 0.10, (style.count, 1)))
    grey = np.clip(traits.grey + rng.normal(0, 0.25, style.count), 0, 1) * (traits.grey > 0)
    colour += (np.array(GREY) * np.exp(rng.normal(0, 0.10, (style.count, 1))) - colour) * grey[:, None]
    colour = to_linear(np.clip(colour * rng.normal(1, 0.02, (style.count, 3)), 0, 1))[:, None]
    shaded = colour * (0.8 + 0.35 * along)[:, None]
    depth = np.clip(height / max(style.layer, 0.004), 0, 1.3)
    openness = 0.35 + 0.65 * step(0.0, 1.0, 0.75 * depth + 0.35 * along)

    def twice(values: np.ndarray) -> np.ndarray:  # [N, S, ...] -> [N * S * 2, ...]
        return np.repeat(values.reshape(-1, *values.shape[2:]), 2, axis=0)

    def each(values: np.ndarray) -> np.ndarray:  # [N, ...] -> [N * S * 2, ...]
        return np.repeat(values, 2 * style.stations, axis=0)

    if style.flow == "down":
        weights = each(np.einsum("nkj,nk->nj", head.skin_weights[head.faces[triangle]], barycentric))
    else:
        loose = twice(step(*LOOSE, path[..., 1]))
        weights = np.zeros((len(loose), len(head.joint_names) + 1), np.float32)
        weights[:, 0], weights[:, 1 + head.joint_names.index("head")] = loose, 1 - loose
    first = np.arange(style.stations - 1) * 2
    strip = np.concatenate([np.stack([first, first + 1, first + 2], 1), np.stack([first + 1, first + 3, first + 2], 1)])
    faces = strip + np.arange(style.count)[:, None, None] * 2 * style.stations

    def single(values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float32)

    return Hair(
        single(vertices.reshape(-1, 3)),
        faces.reshape(-1, 3).astype(np.int32),
        single(twice(tangents)),
        single(twice(outward)),
        single(twice(shaded)),
        single(np.tile([-1.0, 1.0], style.count * style.stations)),
        single(each(rng.uniform(size=style.count))),
        single(twice(openness)),
        each(triangle),
        single(each(barycentric)),
        single(weights),
    )


def _join(parts: list[Hair], columns: int) -> Hair:
    if not parts:
        none, vector = np.zeros(0, np.float32), np.zeros((0, 3), np.float32)
        return Hair(vector, np.zeros((0, 3), np.int32), vector, vector, vector, none, none, none,
                    np.zeros(0, np.int64), vector, np.zeros((0, columns), np.float32))  # fmt: skip
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    joined = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in names_of(Hair)}
    joined["faces"] = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
    return Hair(**joined | {"faces": joined["faces"].astype(np.int32)})
