"""How locks of hair grow: they leave the skin, follow a flow over it, fall, and stay off it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from engine.curves import smoothstep
from engine.noise import fractal

CROWN = np.array([0.0, 0.16, -0.035])  # m, where hair parts in all directions
EYES = np.array([0.0, 0.0417, 0.0753])  # m, between the eyeballs' centres: these places are the default head's
KNOT = np.array([0.0, 0.075, -0.115])  # m, where tied hair meets
# The hairline's height over the azimuth around the head, degrees from the front (0) past the ear (95) to the nape.
HAIRLINE = np.array(
    [(0, 0.119), (22, 0.119), (40, 0.108), (56, 0.090), (68, 0.062), (76, 0.034), (84, 0.026), (92, 0.040),
     (104, 0.044), (118, 0.015), (140, -0.018), (180, -0.030)]
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How locks grow. Lengths in metres.

    Attributes:
        count: locks. stations: points along one. length: of a lock; jitter: its relative spread.
        width: of a lock. layer: thickness of the hair over the skull. lift: share of the first direction that leaves
        the skin; gravity: of the last that falls; wave: amplitude of the waves; waves: how many along a lock.
        flow: crown, back, part, knot or out. fringe: whether the front falls to the brows. cut: height below which
        locks end, or None. loose: height over the layer at which what stands off is drawn back most.
    """

    count: int
    stations: int
    length: float
    jitter: float
    width: float
    layer: float
    lift: float
    gravity: float
    wave: float
    waves: float
    flow: str
    fringe: bool = False
    cut: float | None = None
    loose: float = 0.02


def hairline(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Degrees from the front [..], to either side, of places [.., 3] and the hairline's height there [..] in metres."""
    azimuth = np.degrees(np.arctan2(np.abs(places[..., 0]), places[..., 2] - 0.005))
    return azimuth, np.interp(azimuth, *HAIRLINE.T)


@dataclass(frozen=True)
class Skull:
    """A person's skin as locks meet it: points, normals [P, 3]; tree over the points."""

    points: np.ndarray
    normals: np.ndarray
    tree: cKDTree

    def nearest(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height above the skin [..] metres and its normals [.., 3] for places [.., 3]."""
        _, index = self.tree.query(places)
        return ((places - self.points[index]) * self.normals[index]).sum(axis=-1), self.normals[index]


def paths(style: Style, roots: np.ndarray, lengths: np.ndarray, skull: Skull, rng: np.random.Generator) -> np.ndarray:
    """[N, S, 3] each lock's points: a step along the flow, bent, lifted, pulled down, and kept off the skin."""
    count, last = len(roots), style.stations - 1
    stride = (lengths / last)[:, None]
    clearance = style.layer * rng.uniform(0.15, 1.0, count)
    height, normal = skull.nearest(roots)
    parting = rng.choice((-1, 1)) * rng.uniform(0.0, 0.035)
    whorl = fractal(roots.astype(np.float32), 0.03, 1, rng)[:, None] * 0.35 + rng.normal(0, 0.12, (count, 1))
    heading = _flow(style, roots, roots, normal, parting)
    heading = style.lift * normal + (1 - 0.6 * style.lift) * heading
    points = [roots]
    phase, beat = rng.uniform(0, 2 * np.pi, (count, 1)), 2 * np.pi * style.waves / max(last, 1)
    if style.wave:  # neighbours wave together
        phase = phase * 0.25 + 3 * fractal(roots.astype(np.float32), 0.04, 1, rng)[:, None]
    for s in range(1, style.stations):
        share = s / last
        flow = _flow(style, points[-1], roots, normal, parting)
        across = np.cross(flow, normal)
        pull = style.gravity * share * np.array([0, -1.6, 0])
        stray = np.clip((height - 1.2 * style.layer) / style.loose, 0, 1) * (style.flow != "tail")
        aim = flow + whorl * across + style.lift * (1 - share) * normal + pull - 0.9 * stray[:, None] * normal
        heading = 0.45 * unit(heading) + 0.55 * unit(aim)
        place = points[-1] + stride * unit(heading)
        if style.cut is not None:
            place[:, 1] = np.maximum(place[:, 1], style.cut + 0.03 * whorl[:, 0])
        place += style.wave * 0.5 * (np.cos(phase + beat * s) * across + np.sin(phase + beat * s) * normal * 0.6)
        height, normal = skull.nearest(place)
        keep = clearance * (min(1.0, 3 * share) if style.flow != "out" else 0.0) + 0.0015
        place += normal * np.maximum(keep - height, 0)[:, None]
        points.append(place)
    return np.stack(points, axis=1)


def _flow(style: Style, places: np.ndarray, roots: np.ndarray, normal: np.ndarray, parting: float) -> np.ndarray:
    """[N, 3] unit directions along the skin at ``places`` of locks rooted at ``roots``."""
    x, y, z = places.T
    down = np.array([0, -1.0, 0])
    if style.flow == "out":
        return unit(np.sin(roots * 5e3 + roots[:, ::-1] * 9e3) + 0.6 * normal)  # every curl its own way
    if style.flow == "back":
        aim = np.stack(
            [0.25 * np.sign(x) * np.abs(x) / 0.07, -0.25 - 4 * np.clip(0.08 - y, 0, 0.1), -1 + 0 * x], axis=1
        )
    elif style.flow == "part":
        side, drop = np.where(roots[:, 0] > parting, 1.0, -1.0), smoothstep(y, 0.15, 0.06)
        face = smoothstep(z, 0.045, 0.085) * smoothstep(y, 0.140, 0.115)  # off the face
        aim = np.stack([side * (1 - 0.75 * drop + 1.5 * face), -0.25 - drop * (1 - 0.6 * face),
                        -0.35 - 0.25 * drop * (z > 0.04) - 0.9 * face], axis=1)  # fmt: skip
    elif style.flow == "knot":
        aim = KNOT - places
    elif style.flow == "tail":
        aim = np.stack([0.2 * (roots[:, 0] / 0.006), -0.6 + 0 * x, -0.8 + 0 * x], axis=1)
    elif style.flow == "down":
        outward = np.where(np.abs(roots[:, 0]) < 0.025, np.sign(roots[:, 0]) * (roots[:, 1] > -0.02) * 1.2, 0.0)
        aim = np.stack([outward, -1 + 0 * x, 0.25 + 0 * x], axis=1)
    else:
        aim = places - CROWN
        aim = unit(aim) + 0.35 * down
        if style.fringe:  # the front falls straight down to the brows
            ahead = smoothstep(roots[:, 2], 0.03, 0.07)[:, None]
            aim = aim + ahead * np.array([0, -0.6, 0.8])
    along = aim - (aim * normal).sum(axis=1, keepdims=True) * normal
    return unit(along)


def unit(vectors: np.ndarray) -> np.ndarray:
    """[.., 3] the same directions at unit length."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
