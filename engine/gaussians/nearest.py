"""The exact closest place on a triangle mesh for many points: a bounding-box tree in numba."""

from __future__ import annotations

import numpy as np
from numba import prange

from engine.kernels import njit

LEAF = 4  # triangles per leaf
DEEPEST = 64  # entries of the traversal's stack: one more per level of the tree, which has at most 30
GRID = 1024  # cells per axis of the Morton order, 10 bits
WELL_SHAPED = 1e-12  # squared sine of a corner angle; above it the plane's solution needs no check


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Closest triangle and the barycentrics of the closest place in it.

    Args:
        points: [N, 3] float64.
        corners: [C, 3, 3] float64, C ≥ 1, one corner a row; triangles without area count as the segment they are.

    Returns:
        [N] int64 into ``corners``; [N, 3] float64, 0..1, rows sum to 1.
    """
    order = _morton_order(corners.mean(1))
    leaves = 1 << int(np.ceil(np.log2(max(len(order) / LEAF, 1))))
    order = np.pad(order, (0, leaves * LEAF - len(order)), mode="edge")
    low, high = _boxes(corners[order], leaves)
    return _search(points, corners, order, low, high)


def _morton_order(centers: np.ndarray) -> np.ndarray:
    """Triangles [C] along a space-filling curve, so that neighbours in the list are neighbours in space."""
    extent = np.ptp(centers, axis=0).max() or 1.0
    cells = ((centers - centers.min(0)) / extent * (GRID - 1)).astype(np.int64)
    code = np.zeros(len(centers), np.int64)
    for bit in range(GRID.bit_length() - 1):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable")


def _boxes(corners: np.ndarray, leaves: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds [2 * leaves, 3] of a complete binary tree in heap order: root 1, children 2i and 2i + 1."""
    low, high = np.empty((2 * leaves, 3)), np.empty((2 * leaves, 3))
    grouped = corners.reshape(leaves, LEAF * 3, 3)
    low[leaves:], high[leaves:] = grouped.min(1), grouped.max(1)
    first = leaves
    while first > 1:
        parent = first // 2
        low[parent:first] = low[first : 2 * first].reshape(-1, 2, 3).min(1)
        high[parent:first] = high[first : 2 * first].reshape(-1, 2, 3).max(1)
        first = parent
    return low, high


@njit(error_model="numpy")
def _box_distance(point: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    total = 0.0
    for axis in range(3):
        gap = max(low[axis] - point[axis], 0.0, point[axis] - high[axis])
        total += gap * gap
    return total


@njit(error_model="numpy")
def _triangle_distance(point: np.ndarray, corners: np.ndarray) -> tuple[float, float, float]:
    """Squared distance, and the weights of corners 1 and 2 at the closest place."""
    # Scalars: numba would allocate for every little vector.
    aa = ab = bb = wa = wb = 0.0
    for axis in range(3):
        first = corners[1, axis] - corners[0, axis]
        second = corners[2, axis] - corners[0, axis]
        toward = point[axis] - corners[0, axis]
        aa += first * first
        ab += first * second
        bb += second * second
        wa += toward * first
        wb += toward * second
    best, best_u, best_v = np.inf, 0.0, 0.0
    det = aa * bb - ab * ab
    plane_u, plane_v = bb * wa - ab * wb, aa * wb - ab * wa
    inside = det > 0.0 and plane_u >= 0.0 and plane_v >= 0.0 and plane_u + plane_v <= det
    for attempt in range(4):
        if attempt == 0:
            if not inside:
                continue
            u, v = plane_u / det, plane_v / det
        elif attempt == 1:
            u, v = min(max(wa / aa, 0.0), 1.0) if aa > 0.0 else 0.0, 0.0
        elif attempt == 2:
            u, v = 0.0, min(max(wb / bb, 0.0), 1.0) if bb > 0.0 else 0.0
        else:
            length = aa - 2.0 * ab + bb
            v = min(max((wb - wa + aa - ab) / length, 0.0), 1.0) if length > 0.0 else 0.0
            u = 1.0 - v
        squared = 0.0
        for axis in range(3):
            reached = (1.0 - u - v) * corners[0, axis] + u * corners[1, axis] + v * corners[2, axis]
            squared += (point[axis] - reached) ** 2
        if squared < best:
            best, best_u, best_v = squared, u, v
        if inside and det > WELL_SHAPED * aa * bb:
            break
    return best, best_u, best_v


@njit(parallel=True, nogil=True, error_model="numpy")
def _search(
    points: np.ndarray, corners: np.ndarray, order: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    leaves = len(low) // 2
    nearest = np.zeros(len(points), np.int64)
    weights = np.zeros((len(points), 3))
    for n in prange(len(points)):
        point = points[n]
        best, best_u, best_v, best_triangle = np.inf, 0.0, 0.0, order[0]
        stack = np.empty(DEEPEST, np.int64)
        stack[0], depth = 1, 1
        while depth > 0:
            depth -= 1
            node = stack[depth]
            if _box_distance(point, low[node], high[node]) >= best:
                continue
            if node >= leaves:
                for slot in range((node - leaves) * LEAF, (node - leaves + 1) * LEAF):
                    squared, u, v = _triangle_distance(point, corners[order[slot]])
                    if squared < best:
                        best, best_u, best_v, best_triangle = squared, u, v, order[slot]
            else:
                near, far = 2 * node, 2 * node + 1
                near_gap = _box_distance(point, low[near], high[near])
                if near_gap > _box_distance(point, low[far], high[far]):
                    near, far = far, near
                stack[depth], stack[depth + 1] = far, near
                depth += 2
        nearest[n] = best_triangle
        weights[n, 0], weights[n, 1], weights[n, 2] = 1.0 - best_u - best_v, best_u, best_v
    return nearest, weights.clip(0.0, 1.0)
