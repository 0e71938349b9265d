"""The mouth's inside: single teeth in their gums, tongue and cavity, in the light of the face.

Photos show little of it and never where it will be in another expression; printed teeth end up on tongue and lips. So
it is drawn: crowns of an adult's mean sizes (Nelson, "Wheeler's Dental Anatomy", table of average measurements) along
the arch, darker with depth.
"""

from __future__ import annotations

import numpy as np

from engine.heads.parametric import ParametricHead
from engine.models.parts.light import GREY, Light
from engine.models.parts.placing import Strokes, discs, scattered

# Widths and heights of the crowns from the middle outwards, mm.
CROWNS = {
    "upper": ((8.5, 6.5, 7.6, 7.0, 6.8, 10.2, 9.5, 8.5), (10.5, 9.0, 10.0, 8.5, 8.3, 7.5, 7.0, 6.5)),
    "lower": ((5.2, 5.7, 6.9, 7.0, 7.1, 11.0, 10.5, 10.0), (8.8, 9.2, 10.5, 8.5, 8.0, 7.5, 7.0, 7.0)),
}
STEP, COARSE = 0.0006, 0.0014  # m between Gaussians on what is seen of the teeth, and elsewhere
OVERLAP = 0.75
GUM = 0.004  # m of gum over the crowns that may be seen
ENAMEL, GUMS, GAP = np.array([0.80, 0.765, 0.69]), np.array([0.70, 0.42, 0.40]), np.array([0.16, 0.07, 0.06])
TONGUE, LINING, THROAT = np.array([0.72, 0.37, 0.36]), np.array([0.42, 0.17, 0.16]), np.array([0.10, 0.032, 0.032])
DEPTH = {"teeth": 0.022, "tongue": 0.030, "lining": 0.016}  # m behind the front teeth over which light falls to 1/e
ENAMEL_RANGE, ENAMEL_CHROMA = (0.55, 0.92), 0.22  # luminance and saturation that photographed teeth may have
GAPPED = 0.5  # how dark it is between two teeth, of the gap's own colour
BEHIND = 0.7  # of the light, on the side towards the tongue
UPPER_STILL = 0.001  # m that jawOpen moves the upper arch at most


def arches(head: ParametricHead) -> dict[str, np.ndarray]:
    """upper, lower: [F] bool, the teeth's triangles."""
    jaw = np.linalg.norm(head.expression_basis[head.expression_names.index("jawOpen")], axis=1)[head.faces].max(axis=1)
    teeth = head.face_region("teeth")
    return {"upper": teeth & (jaw < UPPER_STILL), "lower": teeth & (jaw >= UPPER_STILL)}


def enamel(shown: np.ndarray, light: Light) -> np.ndarray:
    """[3] the teeth's colour, from the colours [M, 3] of those that photos show if there are enough."""
    if len(shown) < 40:
        return light.on(ENAMEL)
    grey = shown @ GREY
    color = np.median(shown[grey >= np.quantile(grey, 0.6)], axis=0)
    level = float(np.clip(color @ GREY, *(np.array(ENAMEL_RANGE) * light.brightness)))
    tint = color - color @ GREY
    limit = ENAMEL_CHROMA / max(float(np.ptp(color)), 1e-6)
    return np.clip(level + tint * min(limit, 1.0), 0, 1)


def teeth(
    head: ParametricHead, vertices: np.ndarray, faces: np.ndarray, upper: bool, color: np.ndarray, light: Light
) -> Strokes:
    """Gaussians on one arch.

    Args:
        vertices: [V, 3] metres, neutral. faces: [F] bool, the arch's triangles. color: [3] of the enamel.
    """
    corners = vertices[head.faces[faces]]
    used = np.unique(head.faces[faces])
    middle = np.array([vertices[used, 0].mean(), 0, vertices[used, 2].min()])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    centres = corners.mean(axis=1)
    outward = ((centres - middle) * normals)[:, [0, 2]].sum(axis=1) > 0.3 * np.linalg.norm(normals, axis=1) * 0.01
    step = np.where(outward, STEP, COARSE)
    which, weights = scattered(np.linalg.norm(normals, axis=1) / 2, step)
    points = np.einsum("nkc,nk->nc", corners[which], weights)
    across = (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-15))[which]
    edge, length = _edge(vertices[used], middle, upper)
    turn = np.arctan2(points[:, 0] - middle[0], points[:, 2] - middle[2])
    along = np.interp(turn, edge[:, 0], length) * 1e3
    height = (points[:, 1] - np.interp(turn, edge[:, 0], edge[:, 1])) * (1e3 if upper else -1e3)
    keep = height < max(CROWNS["upper" if upper else "lower"][1]) + 1e3 * GUM
    front = float(vertices[used, 2].max())
    points, which, across, along, height = (each[keep] for each in (points, which, across, along, height))
    shade = np.exp(-np.clip(front - points[:, 2] - 0.004, 0, None) / DEPTH["teeth"])
    colors = _dentition(along, height, upper, color, light.on(GUMS), light.on(GAP))
    shade *= np.where(outward[which], 1.0, BEHIND)
    colors = colors * shade[:, None] + light.on(THROAT) * (1 - shade)[:, None]  # in the dark, all is the gums' red
    return discs(points, across, step[which] * OVERLAP, colors, 0.98)


def _edge(points: np.ndarray, middle: np.ndarray, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """The biting edge: [K, 2] (angle about the arch's middle, height), and [K] signed metres along the arch."""
    turn = np.arctan2(points[:, 0] - middle[0], points[:, 2] - middle[2])
    bins = np.linspace(-1.45, 1.45, 30)
    rows = []
    for low, high in zip(bins[:-1], bins[1:], strict=True):
        inside = (turn >= low) & (turn < high)
        if inside.any():
            y = points[inside, 1]
            outer = np.hypot(points[inside, 0] - middle[0], points[inside, 2] - middle[2]).max()
            rows.append(((low + high) / 2, y.min() if upper else y.max(), outer))
    table = np.array(rows)
    place = table[:, 2:] * np.stack([np.sin(table[:, 0]), np.cos(table[:, 0])], axis=1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(place, axis=0), axis=1))])
    return table[:, :2], length - np.interp(0.0, table[:, 0], length)


def _dentition(
    along: np.ndarray, height: np.ndarray, upper: bool, color: np.ndarray, gums: np.ndarray, gap: np.ndarray
) -> np.ndarray:
    """[M, 3] colours at ``along`` mm from the middle of an arch and ``height`` mm from its edge towards the gum."""
    widths, heights = CROWNS["upper" if upper else "lower"]
    borders = np.concatenate([[0], np.cumsum(widths)])
    which = np.clip(np.searchsorted(borders, np.abs(along), side="right") - 1, 0, len(widths) - 1)
    across = (np.abs(along) - borders[which]) / np.array(widths)[which]
    aside = np.clip(np.abs(2 * across - 1), 0, 1.2)  # 0 in the tooth's middle, 1 between two
    tall = np.array(heights)[which] * (1 - 0.16 * aside**2)
    low = np.clip(height / tall, -0.2, 1.2)[:, None]
    # enamel is warmer at the neck, and lets the dark through at its edge
    enamel = color * (1 - 0.10 * low * [0.5, 0.9, 1.6]) * (1 - 0.16 * aside[:, None] ** 4)
    enamel = enamel * (1 - 0.10 * np.exp(-((np.clip(height, 0, None) / 0.7) ** 2)))[:, None]
    width = np.array(widths)[which]
    near = np.clip(np.minimum(across, 1 - across), 0, 1) * width  # mm to the gap
    opened = 0.12 + 0.35 * np.exp(-np.clip(height, 0, None) / 0.9)  # corners are rounded
    gapped = np.exp(-((near / opened) ** 2))[:, None] * GAPPED
    enamel = enamel * (1 - gapped) + gap * gapped
    t = np.clip((height - tall) / 0.6 + 0.5, 0, 1)[:, None]
    pink = gums * (1 - 0.25 * np.clip((height - tall) / 4, 0, 1))[:, None]
    return enamel * (1 - t) + pink * t


def tongue_colors(position: np.ndarray, front: float, light: Light) -> np.ndarray:
    """[M, 3] at places on the neutral tongue; ``front``: z of the front teeth, metres."""
    shade = np.exp(-np.clip(front - position[:, 2] - 0.006, 0, None) / DEPTH["tongue"])
    groove = 1 - 0.18 * np.exp(-((position[:, 0] / 0.0015) ** 2))
    return light.on(TONGUE) * (shade * groove)[:, None]


def lining_colors(position: np.ndarray, front: float, light: Light) -> np.ndarray:
    """[M, 3] at places on the neutral mouth's skin: pink behind the lips, dark towards the throat."""
    deep = 1 - np.exp(-np.clip(front - position[:, 2] - 0.002, 0, None) / DEPTH["lining"])
    return light.on(LINING) * (1 - deep)[:, None] + light.on(THROAT) * deep[:, None]
