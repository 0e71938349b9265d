"""Lashes, the lids' dark margins and the shadow under them: strokes on the lash strips, which move with the lids."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from scipy.sparse.csgraph import connected_components, dijkstra

from engine.heads.parametric import ParametricHead
from engine.heads.portrait import Eyeball, eyeballs
from engine.models.parts.placing import Strokes
from engine.models.surface.hull import mesh_graph

LASHES = {"upper": (40, 0.7), "lower": (18, 0.45)}  # how many, and how much of the strip's height they take
LASH_THICK = (0.00007, 0.00003)  # m, standard deviation across, at root and tip
LASH_OPACITY = (0.04, 0.015)  # at root and tip: faint, since the photo's own are on the lids
LASH_STEPS, MARGIN_STEPS = 4, 90  # strokes of a lash, places along a margin
UNDER_LID = 0.0008  # m below the upper lid's margin at which its shadow is deepest
ROOT = 1.1  # radii of the eyeball within which a strip's vertices are its root, hidden in the lid
DARK = np.array([0.10, 0.075, 0.065])
FIELDS = tuple(field.name for field in fields(Strokes))


def draw(head: ParametricHead, vertices: np.ndarray, balls: tuple[Eyeball, Eyeball], hair: np.ndarray) -> Strokes:
    """Lashes, the lids' dark margins, and the upper lid's shadow on the eye, on the head's lash strips.

    Args:
        vertices: [V, 3] metres, the person's neutral mesh. hair: [3] colour of the brows.

    Returns:
        Strokes; none where the head model has no lashes.
    """
    dark = np.minimum(DARK + 0.15 * hair, hair)
    parts = []
    for ball, side in zip(balls, (1, -1), strict=True):
        for upper in (True, False):
            rows = _strip(head, side, upper)
            if rows is not None:
                margin, tips = (evenly_along(vertices[row]) for row in rows)
                parts += [_hairs(margin, tips, dark, upper), _margin(margin, ball, dark, upper)]
                if upper:
                    parts.append(_shadow(margin, ball))
    return Strokes(
        *(np.concatenate([getattr(p, name) for p in parts]) if parts else np.zeros((0, 3)) for name in FIELDS)
    )


def upper_margin(head: ParametricHead, side: int) -> np.ndarray | None:
    """Vertices along an upper lid's margin, from the nose outwards; None where the head model has no lashes."""
    rows = _strip(head, side, upper=True)
    return None if rows is None else rows[0]


def _strip(head: ParametricHead, side: int, upper: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """A lash strip's vertices in the lid's margin and at the lashes' tips, from the nose outwards.

    Told on the template: a person's lids may stand off the eyeballs.
    """
    region = head.regions.get("lashes")
    if region is None or not region.any():
        return None
    vertices, ball = head.template, eyeballs(head.template, head.regions["eyes"])[0 if side > 0 else 1]
    strip = region & (side * vertices[:, 0] > 0)
    graph = mesh_graph(head.faces[strip[head.faces].all(axis=1)], len(vertices))
    _, labels = connected_components(graph, directed=False)
    groups = [np.flatnonzero(strip & (labels == label)) for label in np.unique(labels[strip])]
    if len(groups) != 2:
        return None
    members = sorted(groups, key=lambda group: vertices[group, 1].mean())[int(upper)]
    away = np.linalg.norm(vertices[members] - ball.centre, axis=1) / ball.radius
    roots = members[away < ROOT]
    depth = dijkstra(graph, directed=False, indices=roots, unweighted=True, min_only=True)[members]  # rows of the strip
    root, tip = (members[depth == level] for level in (1, depth[np.isfinite(depth)].max()))
    return root[np.argsort(side * vertices[root, 0])], tip[np.argsort(side * vertices[tip, 0])]


def evenly_along(points: np.ndarray) -> np.ndarray:
    """[MARGIN_STEPS, 3] a row of points as a curve, evenly sampled."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, length[-1], MARGIN_STEPS)
    return np.stack([np.interp(at, length, points[:, k]) for k in range(3)], axis=1)


def _hairs(margin: np.ndarray, tips: np.ndarray, dark: np.ndarray, upper: bool) -> Strokes:
    """Thin strokes from the margin towards the strip's tips, denser outwards, slightly irregular."""
    count, height = LASHES["upper" if upper else "lower"]
    random = np.random.default_rng(1 + upper)
    at = np.sort(random.uniform(0.12, 0.97, count)) * (MARGIN_STEPS - 1)
    lean = np.clip(at + random.normal(0, 1.2, count) + 3, 0, MARGIN_STEPS - 1)
    index = np.arange(MARGIN_STEPS)
    root = np.stack([np.interp(at, index, margin[:, k]) for k in range(3)], axis=1)
    tip = np.stack([np.interp(lean, index, tips[:, k]) for k in range(3)], axis=1)
    tip = root + (tip - root) * (height * random.uniform(0.8, 1.1, count))[:, None]
    knots = np.linspace(0, 1, LASH_STEPS + 1)
    bow = 0.12 * np.linalg.norm(tip - root, axis=1)[:, None] * np.array([0, -0.6 if upper else 0.6, 0.8])
    curve = root[:, None] * (1 - knots)[None, :, None] + tip[:, None] * knots[None, :, None]
    curve = curve + bow[:, None] * (4 * knots * (1 - knots))[None, :, None]
    means, along = (curve[:, 1:] + curve[:, :-1]) / 2, curve[:, 1:] - curve[:, :-1]
    thick = np.interp((knots[1:] + knots[:-1]) / 2, (0, 1), LASH_THICK)
    length = np.linalg.norm(along, axis=2) * 0.45
    wide = np.broadcast_to(thick, length.shape)
    scales = np.stack([length, wide, wide], axis=2)
    flat = len(at) * LASH_STEPS
    normals = np.tile([0.0, 0.3, 1.0], (flat, 1))
    opacity = np.tile(np.linspace(*LASH_OPACITY, LASH_STEPS), len(at)) * (1.0 if upper else 0.35)
    return Strokes(
        means.reshape(-1, 3), along.reshape(-1, 3), normals, scales.reshape(-1, 3), opacity, np.tile(dark, (flat, 1))
    )


def _margin(margin: np.ndarray, ball: Eyeball, dark: np.ndarray, upper: bool) -> Strokes:
    """The line from which the lashes grow."""
    means, along = (margin[1:] + margin[:-1]) / 2, margin[1:] - margin[:-1]
    count = len(means)
    length = np.linalg.norm(along, axis=1) * 0.9
    thick = 0.00026 if upper else 0.00014
    scales = np.stack([length, np.full(count, thick), np.full(count, 0.0001)], axis=1)
    fade = np.interp(np.arange(count) / count, (0, 0.2, 0.9, 1), (0.0, 0.75, 0.8, 0.3)) * (0.1 if upper else 0.02)
    return Strokes(means, along, means - ball.centre, scales, fade, np.tile(dark, (count, 1)))


def _shadow(margin: np.ndarray, ball: Eyeball) -> Strokes:
    """A soft dark band on the eye under the upper lid's margin; it goes down with the lid."""
    points = margin[::3]
    below = points + np.array([0, -1.0, 0]) * UNDER_LID
    away = below - ball.centre
    means = ball.centre + away / np.linalg.norm(away, axis=1, keepdims=True) * (ball.radius + 0.0003)
    along = np.gradient(means, axis=0)
    count = len(means)
    length = np.linalg.norm(along, axis=1)
    scales = np.stack([length, np.full(count, 0.0008), np.full(count, 0.00008)], axis=1)
    fade = np.interp(np.arange(count) / count, (0, 0.15, 0.85, 1), (0.0, 0.06, 0.06, 0.0))
    return Strokes(means, along, means - ball.centre, scales, fade, np.tile(0.35 * DARK, (count, 1)))
