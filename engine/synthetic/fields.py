"""Where on the template things grow and show: cheeks, folds, beard, brows. The same for everybody, made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engine.heads.portrait import IRIS_RADIUS
from engine.synthetic.canvas import EYE, SKIN, WET, canvas

MM = 1e-3
NOSE_TIP, CHIN, FOREHEAD = 4, 152, 10
CHEEKS, UNDER_EYES = (50, 280), (119, 348)
OUTER_CORNERS = ((263, 1), (33, -1))  # of the left and of the right eye, with the sign of x
FOLDS = ((129, 203, 206, 216, 212), (358, 423, 426, 436, 432))  # from the nose's wings around the mouth's corners
BAGS = ((31, 228, 229, 230, 231, 232), (261, 448, 449, 450, 451, 452))  # under the eyes
BITE, GUM = -0.0237, 0.0075  # m: height of the bite line; teeth reach this far from it, then gums begin
TOOTH = 0.0075  # m across


@dataclass(frozen=True)
class Fields:
    """Indices into the canvas's texels, and values at them, float32.

    Attributes:
        skin: [S] int64, eye: [E] int64, wet: [W] int64: the texels of each material.
        face, ears, lips, lids, bust: [S] 0..1. flushed, under, oily: [S] 0..1, blood, shade and shine.
        crease: [S] 0..1, the line between the lips. lashline: [S] 0..1, the lids' rims. beard: [S] 0..1.
        forehead, frown, crow, folds: [S] strengths of age's lines there. bend: [S] 0..1 across a forehead's lines.
        turn: [S] radians around each eye's outer corner; away: [S] metres from it.
        iris: [E] distance off the gaze in iris radii, at most 9; spoke: [E, 2] cosine and sine around it.
        teeth, tongue: [W] bool. gap: [W] 0 at a tooth's middle to 1 between two. gums: [W] 0..1.
    """

    skin: np.ndarray
    eye: np.ndarray
    wet: np.ndarray
    face: np.ndarray
    ears: np.ndarray
    lips: np.ndarray
    lids: np.ndarray
    bust: np.ndarray
    flushed: np.ndarray
    under: np.ndarray
    oily: np.ndarray
    crease: np.ndarray
    lashline: np.ndarray
    beard: np.ndarray
    forehead: np.ndarray
    frown: np.ndarray
    crow: np.ndarray
    folds: np.ndarray
    bend: np.ndarray
    turn: np.ndarray
    away: np.ndarray
    iris: np.ndarray
    spoke: np.ndarray
    teeth: np.ndarray
    tongue: np.ndarray
    gap: np.ndarray
    gums: np.ndarray


def step(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between; the other way round where low > high."""
    t = np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=1)
def fields() -> Fields:
    """The default head's, made once a process."""
    sheet = canvas()
    skin, eye, wet = (np.flatnonzero(sheet.on(kind)) for kind in (SKIN, EYE, WET))
    points, marks = sheet.points[skin], sheet.landmarks
    x, y, z = points.T
    face = sheet.member("face", "lips", "lids", "brows")[skin]
    ears, lids = sheet.member("ears")[skin], sheet.member("lids")[skin]
    flushed = 0.9 * _blobs(points, marks[list(CHEEKS)], 0.024) + 0.7 * _blobs(points, marks[[NOSE_TIP]], 0.014)
    flushed += 0.4 * _blobs(points, marks[[CHIN]], 0.014) + 0.7 * ears
    rims = [np.abs(np.linalg.norm(points - ball.centre, axis=1) - ball.radius) for ball in sheet.eyes]

    frown = step(0.050, 0.056, y) * step(0.078, 0.066, y) * (z > 0.08)
    frown *= np.exp(-np.square((np.abs(x) - 5 * MM) / (0.9 * MM)))
    crow, turn, away = (np.zeros(len(skin)) for _ in range(3))
    for corner, side in OUTER_CORNERS:
        dx, dy = side * (x - marks[corner, 0]), y - marks[corner, 1]
        distance, angle = np.hypot(dx, dy), np.arctan2(dy, np.maximum(dx, 1e-6))
        here = (dx > 0) & (np.abs(angle) < 1.0)
        crow += step(0.005, 0.009, distance) * step(0.022, 0.014, distance) * here
        turn, away = np.where(here, angle, turn), np.where(here, distance, away)
    folds = np.zeros(len(skin))
    for lines, width, strength in ((FOLDS, 1.7 * MM, 1.3), (BAGS, 1.3 * MM, 0.8)):
        for line in lines:
            folds += strength * np.exp(-np.square(_to_polyline(points, marks[list(line)]) / width))

    off_axis = np.minimum(*(ball.off_axis(sheet.points[eye]) for ball in sheet.eyes))
    centres = np.array([ball.centre for ball in sheet.eyes])[(sheet.points[eye, 0] < 0).astype(int)]
    spoke = np.arctan2(sheet.points[eye, 1] - centres[:, 1], sheet.points[eye, 0] - centres[:, 0])
    mouth = sheet.points[wet]
    place = np.arctan2(mouth[:, 0], mouth[:, 2] - 0.055) * 0.033 / TOOTH  # along the arch, in teeth
    gap = 1 - np.abs(np.abs(place % 1 - 0.5) * 2)
    values = {
        "face": face,
        "ears": ears,
        "lips": step(0.25, 0.75, sheet.member("lips")[skin]),
        "lids": lids,
        "bust": step(0.3, 0.7, sheet.member("torso", "neck")[skin]),
        "flushed": np.clip(flushed, 0, 1.3),
        "under": _blobs(points, marks[list(UNDER_EYES)] + [0, 0.008, 0], 0.010),
        "oily": _blobs(points, marks[[NOSE_TIP, FOREHEAD, *CHEEKS]], 0.02),
        "crease": np.exp(-np.square((y - marks[13, 1]) / (1.2 * MM))),
        "lashline": lids * step(2.2 * MM, 0.6 * MM, np.minimum(*rims)),
        "beard": beard_zone(points),
        "forehead": step(0.070, 0.078, y) * step(0.110, 0.095, y) * np.exp(-np.square(x / 0.042)) * (z > 0.05),
        "frown": frown,
        "crow": crow,
        "folds": folds,
        "bend": (y + 1.2 * x * x) / (9 * MM),
        "turn": turn,
        "away": away,
        "iris": np.minimum(off_axis / IRIS_RADIUS, 9),
        "spoke": np.stack([np.cos(spoke), np.sin(spoke)], axis=1),
        "gap": gap,
        "gums": step(GUM - 1 * MM, GUM + 1 * MM, np.abs(mouth[:, 1] - BITE) + 1.2 * MM * gap),
    }
    teeth, tongue = (sheet.member(name)[wet] > 0.5 for name in ("teeth", "tongue"))
    numbers = {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}
    return Fields(skin=skin, eye=eye, wet=wet, teeth=teeth, tongue=tongue, **numbers)


def beard_zone(points: np.ndarray) -> np.ndarray:
    """[M] 0..1: where beards grow, by place on the template; the lips are not left out."""
    side, z = np.abs(points[:, 0]), points[:, 2]
    top = np.interp(z, (0.015, 0.05, 0.085, 0.095), (0.032, 0.012, -0.014, -0.009))
    top = np.where(side < 0.019, -0.0075, top)  # the moustache reaches up to the nose
    bottom = np.interp(z, (0.0, 0.03, 0.06, 0.09), (-0.035, -0.055, -0.080, -0.085))
    grows = step(0.003, -0.006, points[:, 1] - top) * step(-0.004, 0.010, points[:, 1] - bottom)
    return grows * step(0.012, 0.026, z)


def _blobs(points: np.ndarray, centres: np.ndarray, radius: float) -> np.ndarray:
    """[M] 0..1: near any of the centres [K, 3]."""
    near = [np.exp(-np.square(points - centre).sum(axis=1) / radius**2) for centre in centres]
    return np.minimum(sum(near), 1)


def _to_polyline(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """[M] metres to the polyline [K, 3]."""
    nearest = np.full(len(points), np.inf, np.float32)
    for a, b in zip(line[:-1], line[1:], strict=True):
        along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - a - along[:, None] * (b - a), axis=1))
    return nearest
