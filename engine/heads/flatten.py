"""Lay one piece of a surface flat: bijective, with its shapes kept as far as can be.

A Tutte embedding is where SLIM (Rabinovich et al., "Scalable Locally Injective Mappings", 2017) starts from; no
triangle is flipped in the one, and none by the other.
"""

from __future__ import annotations

import igl
import numpy as np
from scipy import sparse

from engine.errors import HeadModelError

CHECKED_EVERY = 10  # iterations of SLIM between two looks at the border


def flatten(rest: np.ndarray, faces: np.ndarray, iterations: int) -> np.ndarray:
    """[K, 2]: a disk, possibly with holes, laid flat at area 1: no flips, no overlaps, shapes kept as far as can be.

    Raises:
        HeadModelError: the piece is not a disk with holes.
    """
    loops = [np.array(loop) for loop in igl.boundary_loop_all(faces)]
    count = len(rest)
    if count - len(igl.edges(faces)) + len(faces) + len(loops) != 2 or not loops:
        raise HeadModelError(f"A part of the mesh ({len(faces)} triangles) cannot be laid flat.", "Remove its handles.")
    loops.sort(key=lambda loop: np.linalg.norm(rest[loop] - np.roll(rest[loop], 1, axis=0), axis=1).sum())
    outer = loops.pop()
    rest, faces = _fill(rest, faces, loops)
    rest = rest / np.sqrt(areas(rest, faces).sum())
    flat = _tutte(rest, faces, outer)
    none = np.zeros((0, 2), order="F")
    solver = igl.slim_precompute(
        np.asfortranarray(rest),
        np.asfortranarray(faces, dtype=np.int32),
        np.asfortranarray(flat),
        igl.MappingEnergyType.SYMMETRIC_DIRICHLET,
        np.zeros(0, np.int32),
        none,
        0.0,
    )
    for _ in range(iterations // CHECKED_EVERY):
        following = igl.slim_solve(solver, CHECKED_EVERY)[:, :2]
        # SLIM keeps triangles upright; that the border does not run over itself is for us to see to.
        if not _is_simple(following[outer]) or areas(following, faces).min() <= 0:
            break
        flat = following
    return flat[:count]


def _fill(rest: np.ndarray, faces: np.ndarray, holes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Close holes by flat cones, which hold them open: a fan over closed lips would have no area at all."""
    for hole in holes:
        ring = rest[hole]
        spokes = ring - ring.mean(axis=0)
        normal = np.cross(spokes, np.roll(spokes, -1, axis=0)).sum(axis=0)
        depth = 0.5 * np.linalg.norm(spokes, axis=1).mean()
        apex = ring.mean(axis=0) + depth * normal / np.linalg.norm(normal)
        fan = np.stack([np.roll(hole, -1), hole, np.full(len(hole), len(rest))], axis=1)
        rest, faces = np.vstack([rest, apex]), np.vstack([faces, fan])
    return rest, faces


def _tutte(rest: np.ndarray, faces: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """[K, 2]: the border on a circle of area 1, every other point in the middle of its neighbours (Tutte 1963)."""
    steps = np.linalg.norm(np.roll(rest[outer], -1, axis=0) - rest[outer], axis=1)
    angle = 2 * np.pi * np.r_[0, np.cumsum(steps)[:-1]] / steps.sum()
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1) / np.sqrt(np.pi)
    laplacian = sparse.csgraph.laplacian(igl.adjacency_matrix(faces).astype(np.float64)).tocsr()
    inner = np.setdiff1d(np.arange(len(rest)), outer)
    flat = np.zeros((len(rest), 2))
    flat[outer] = circle
    if len(inner):
        flat[inner] = sparse.linalg.splu(laplacian[inner][:, inner].tocsc()).solve(
            -(laplacian[inner][:, outer] @ circle)
        )
    return flat


def _is_simple(loop: np.ndarray) -> bool:
    """No two sides of the polygon [N, 2] cross."""
    a, b = loop, np.roll(loop, -1, axis=0)

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.sign((q - p)[..., 0] * (r - p)[..., 1] - (q - p)[..., 1] * (r - p)[..., 0])

    one, two = side(a[:, None], b[:, None], a[None]), side(a[:, None], b[:, None], b[None])
    crossing = one * two < 0
    return not (crossing & crossing.T).any()


def areas(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[F] areas of triangles in the plane (signed) or in space."""
    a, b = (points[faces[:, k]] - points[faces[:, 0]] for k in (1, 2))
    if points.shape[1] == 2:
        return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    return np.linalg.norm(np.cross(a, b), axis=1) / 2
