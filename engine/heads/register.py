"""Lay one head model's skin over another head's mesh: landmarks first, then the surfaces."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.interpolate import RBFInterpolator
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from engine.heads.landmarks import (
    IRISES,
    LEFT_LIDS,
    LOWER_LIP_INNER,
    NOT_SKIN,
    RIGHT_LIDS,
    UPPER_LIP_INNER,
    nearer_to_nose,
)
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import vertex_normals

SMOOTHING = 1e-4  # of the thin plates through the landmarks: how far a landmark may be missed
STIFFNESS = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0)  # of the displacements, against 1 per matched vertex, step by step
REACH = (0.03, 0.025, 0.02, 0.015, 0.01, 0.01)  # metres within which surfaces are matched, step by step
LANDMARK_PULL = 2.0
TURNED = 0.005  # metres that a place may be farther away for each unit between the normals
OTHER_SIDE = 0.01  # metres that a place on the same side may be farther away than one on the other lip or lid
MOUTH = 0.03  # metres around the lips over which the two sides of the mouth fade into one
EYE = 0.012  # metres around the lids' rims, likewise
CANDIDATES = 12  # triangles that are looked at exactly
HELD = 0.05  # pull of vertices without a counterpart toward where the landmarks put them


@dataclass(frozen=True)
class Surface:
    """One side of a registration: the skin of a head, its landmarks, and what lies above and below its openings.

    Attributes:
        vertices: [V, 3] metres. faces: [F, 3] skin only.
        pins: [478, V] sparse, the landmarks' places as weights of the vertices. landmarks: [478, 3] where they lie.
        side: [V] 1 on the upper lip and lids, -1 on the lower ones, fading to 0 away from mouth and eyes.
    """

    vertices: np.ndarray
    faces: np.ndarray
    pins: sparse.csr_array
    side: np.ndarray

    @property
    def landmarks(self) -> np.ndarray:
        return self.pins @ self.vertices


@dataclass(frozen=True)
class Registration:
    """Where a target's vertices lie on a source model, and where the source's skin lies on the target.

    Attributes:
        warped: [S, 3] metres, the source's vertices laid over the target (skin; others are left where they were put
            by the landmarks' similarity).
        triangles: [V] into the source's faces. barycentrics: [V, 3].
        similarity: [3, 4], scale · rotation and shift from the source's space to the target's.
    """

    warped: np.ndarray
    triangles: np.ndarray
    barycentrics: np.ndarray
    similarity: np.ndarray


def surface(
    vertices: np.ndarray, faces: np.ndarray, skin: np.ndarray, triangles: np.ndarray, barycentrics: np.ndarray
) -> Surface:
    """A head's ``Surface``.

    Args:
        vertices: [V, 3]. faces: [F, 3]. skin: [F] bool.
        triangles: [478] into ``faces``. barycentrics: [478, 3]; the landmarks.
    """
    vertices = np.asarray(vertices, np.float64)
    rows = np.repeat(np.arange(len(triangles)), 3)
    entries = (barycentrics.ravel().astype(np.float64), (rows, faces[triangles].ravel()))
    pins = sparse.coo_array(entries, shape=(len(triangles), len(vertices))).tocsr()
    landmarks = pins @ vertices
    upper = nearer_to_nose(vertices, faces[skin], landmarks)
    away, _ = cKDTree(landmarks[[*UPPER_LIP_INNER, *LOWER_LIP_INNER]]).query(vertices)
    side = np.where(upper, 1, -1) * np.clip(1 - away / MOUTH, 0, 1)
    for above, below in (RIGHT_LIDS, LEFT_LIDS):
        to_upper, _ = cKDTree(landmarks[list(above)]).query(vertices)
        to_lower, _ = cKDTree(landmarks[list(below)]).query(vertices)
        side += np.sign(to_lower - to_upper) * np.clip(1 - np.minimum(to_upper, to_lower) / EYE, 0, 1)
    return Surface(vertices, faces[skin], pins, side)


def register(source: ParametricHead, target: Surface) -> Registration:
    """Find where every vertex of the target lies on the source's skin.

    Thin plates through the landmarks, then non-rigid closest-point steps whose displacements are kept smooth by the
    graph's Laplacian, ever less (Amberg et al. 2007, doi 10.1109/CVPR.2007.383165, with displacements in place of
    affine maps). Only places whose normals agree, and that lie on the same lip, may correspond.

    Args:
        source: the head that is laid over the target.
        target: the mesh of another head, in metres, with its landmarks.
    """
    inside = source.face_region(*(set(NOT_SKIN) - {"mouth_interior"}))
    own = surface(source.template, source.faces, ~inside, source.landmark_triangles, source.landmark_barycentrics)
    points = own.landmarks
    similarity = similarity_between(points, target.landmarks, source.landmark_weights)
    aligned = own.vertices @ similarity[:, :3].T + similarity[:, 3]
    start = aligned + _landmark_field(aligned, points @ similarity[:, :3].T + similarity[:, 3], target, source)
    warped = _settle(start, own, target, source)
    skin_vertices = np.unique(own.faces)
    placed = aligned.copy()
    placed[skin_vertices] = warped[skin_vertices]

    triangles, barycentrics = np.zeros(len(target.vertices), np.int64), np.zeros((len(target.vertices), 3))
    hidden = source.face_region("mouth_interior")
    for mine, onto in ((target.side == 0, ~inside & ~hidden), (target.side != 0, ~inside)):
        found, places, _ = _match(target, replace(own, vertices=placed, faces=source.faces[onto]))
        triangles[mine], barycentrics[mine] = np.nonzero(onto)[0][found[mine]], places[mine]
    return Registration(placed, triangles, barycentrics, similarity)


def similarity_between(points: np.ndarray, goals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[3, 4] the scaled rotation and shift that brings ``points`` [N, 3] closest to ``goals`` [N, 3]."""
    share = weights[:, None] / weights.sum()
    middle, goal = (points * share).sum(axis=0), (goals * share).sum(axis=0)
    centred, wanted = points - middle, goals - goal
    rotation, _ = Rotation.align_vectors(wanted, centred, weights=weights)
    turned = rotation.apply(centred)
    scale = (share * turned * wanted).sum() / (share * turned * turned).sum()
    linear = scale * rotation.as_matrix()
    return np.concatenate([linear, (goal - linear @ middle)[:, None]], axis=1)


def _landmark_field(vertices: np.ndarray, points: np.ndarray, target: Surface, source: ParametricHead) -> np.ndarray:
    """[S, 3] displacements of thin plates through the landmarks, fading out away from the face."""
    used = np.setdiff1d(np.arange(len(points)), IRISES)
    smoothing = SMOOTHING / np.maximum(source.landmark_weights[used], 0.05)
    field = RBFInterpolator(
        points[used], target.landmarks[used] - points[used], smoothing=smoothing, kernel="thin_plate_spline"
    )
    away, _ = cKDTree(points[used]).query(vertices)
    return field(vertices) * np.exp(-((away / 0.05) ** 2))[:, None]


def _settle(start: np.ndarray, own: Surface, target: Surface, source: ParametricHead) -> np.ndarray:
    """[S, 3] the source's skin on the target's."""
    count = len(start)
    bent = laplacian(own.faces, count)
    bending = bent.T @ bent
    used = np.setdiff1d(np.arange(own.pins.shape[0]), IRISES)
    pins, goal_marks = own.pins[used], target.landmarks[used]
    pull = sparse.diags_array(LANDMARK_PULL * source.landmark_weights[used].astype(np.float64))
    pinned = pins.T @ pull @ pins
    border = _border(target.faces, len(target.vertices))

    hidden = source.regions["mouth_interior"]
    placed = start
    for stiffness, reach in zip(STIFFNESS, REACH, strict=True):
        triangles, barycentrics, distance = _match(replace(own, vertices=placed), target)
        corners = target.faces[triangles]
        goals = np.einsum("nk,nkc->nc", barycentrics, target.vertices[corners])
        on_border = (barycentrics * border[corners]).sum(axis=1) > 0.99
        weights = np.where((distance < reach) & ~on_border & ~hidden, 1.0, 0.0)
        matrix = sparse.diags_array(np.where(hidden, HELD, weights + 1e-6)) + pinned + stiffness * bending
        right = weights[:, None] * (goals - start) + pins.T @ pull @ (goal_marks - pins @ start)
        placed = start + splu(matrix.tocsc()).solve(right)
    return placed


def _match(from_surface: Surface, onto: Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Closest triangle [V], barycentrics [V, 3] and distance [V] on ``onto``, alike in orientation and side."""
    normals = vertex_normals(from_surface.vertices, from_surface.faces)
    corners = onto.vertices[onto.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-15)

    def features(places: np.ndarray, directions: np.ndarray, sides: np.ndarray) -> np.ndarray:
        return np.concatenate([places, TURNED * directions, OTHER_SIDE * sides[:, None]], axis=1)

    wanted = features(from_surface.vertices, normals, from_surface.side)
    tree = cKDTree(features(corners.mean(axis=1), flat, onto.side[onto.faces].mean(axis=1)))
    _, nearest = tree.query(wanted, k=CANDIDATES)  # [V, k]
    barycentrics = _within(from_surface.vertices[:, None], corners[nearest])  # [V, k, 3]
    reached = (barycentrics[..., None] * corners[nearest]).sum(axis=-2)
    distance = np.linalg.norm(reached - from_surface.vertices[:, None], axis=-1)
    unlike = np.linalg.norm(tree.data[nearest][..., 3:] - wanted[:, None, 3:], axis=-1)
    row, best = np.arange(len(wanted)), (distance**2 + unlike**2).argmin(axis=1)
    return nearest[row, best], barycentrics[row, best], distance[row, best]


def _within(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """[.., 3] barycentrics of ``points`` [.., 3] dropped onto triangles [.., 3, 3] and drawn in to their edges."""
    a, b = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    p = points - corners[..., 0, :]
    aa, ab, bb = (a * a).sum(-1), (a * b).sum(-1), (b * b).sum(-1)
    pa, pb = (p * a).sum(-1), (p * b).sum(-1)
    area = np.maximum(aa * bb - ab * ab, 1e-24)
    u, v = (bb * pa - ab * pb) / area, (aa * pb - ab * pa) / area
    inside = np.clip(np.stack([1 - u - v, u, v], axis=-1), 0, None)
    return inside / inside.sum(axis=-1, keepdims=True)


def laplacian(faces: np.ndarray, count: int) -> sparse.csr_array:
    """[V, V] the graph's Laplacian, each row the difference to the mean of the neighbours."""
    ends = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    linked = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    linked = (linked + linked.T).tocsr()
    degree = np.maximum(linked.sum(axis=1), 1)
    return sparse.csr_array(sparse.eye_array(count) - sparse.diags_array(1 / degree) @ linked)


def _border(faces: np.ndarray, count: int) -> np.ndarray:
    """[V] bool: vertices on an open edge."""
    ends = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, uses = np.unique(ends, axis=0, return_counts=True)
    border = np.zeros(count, bool)
    border[edges[uses == 1].ravel()] = True
    return border
