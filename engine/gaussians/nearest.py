"""The exact closest place on a triangle mesh for many points: libigl finds the triangle, numpy the place in it.

libigl's own barycentrics are a quotient of areas, which slivers do not have.
"""

from __future__ import annotations

import igl
import numpy as np

FLAT = 1e-26  # squared area over the longest edge's fourth power: below it libigl misses points on either side


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Closest triangle and the barycentrics of the closest place in it; of equally close triangles any.

    Args:
        points: [N, 3] float64.
        corners: [C, 3, 3] float64, C ≥ 1, one corner a row; triangles without area count as the segment they are.

    Returns:
        [N] int64 into ``corners``; [N, 3] float64, 0..1, rows sum to 1.
    """
    _, nearest, _ = igl.point_mesh_squared_distance(points, corners.reshape(-1, 3), _as_faces(corners))
    return nearest, _closest_in(points, corners[nearest])


def _as_faces(corners: np.ndarray) -> np.ndarray:
    """[C, 3] into the corners one after the other; triangles without area go twice to the end of their longest edge,
    which libigl takes for a segment."""
    edges = np.roll(corners, -1, axis=1) - corners
    lengths = (edges**2).sum(axis=2)
    longest = lengths.argmax(axis=1)
    areas = (np.cross(edges[:, 0], edges[:, 1]) ** 2).sum(axis=1)
    flat = areas <= FLAT * lengths.max(axis=1) ** 2
    chosen = np.tile([0, 1, 2], (len(corners), 1))
    chosen[flat] = (longest[flat, None] + [0, 1, 1]) % 3
    return 3 * np.arange(len(corners))[:, None] + chosen


def _closest_in(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentrics [N, 3] of the place closest to each of ``points`` [N, 3] in its own triangle [N, 3, 3]: the closest
    of four, the plane's, where it is inside, and one on every edge."""
    a, b, p = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    aa, ab, bb, pa, pb = ((x * y).sum(axis=1) for x, y in ((a, a), (a, b), (b, b), (p, a), (p, b)))
    none = np.zeros(len(points))
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.stack((bb * pa - ab * pb, aa * pb - ab * pa)) / (aa * bb - ab**2)
        along = [pa / aa, pb / bb, (pb - pa + aa - ab) / (aa - 2 * ab + bb)]
        outside = ~((inside >= 0).all(axis=0) & (inside.sum(axis=0) <= 1))
    inside[:, outside] = 0  # corner 0, which is on edges too
    first, second, third = (np.nan_to_num(t, nan=0.0).clip(0, 1) for t in along)  # an edge without length: its start
    u = np.stack((inside[0], first, none, 1 - third))
    v = np.stack((inside[1], none, second, third))
    misses = ((p - u[..., None] * a - v[..., None] * b) ** 2).sum(axis=2)
    best = misses.argmin(axis=0), np.arange(len(points))
    return np.stack((1 - u[best] - v[best], u[best], v[best]), axis=1).clip(0, 1)
