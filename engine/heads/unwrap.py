"""UV map of any head mesh: the skin of head and face as one island cut open at the back, small parts around it.

The face gets more texels than its area because what the skin is flattened from is not the head itself but its image
under an inversion about a point in front of the nose: an inversion keeps angles and enlarges what is near its centre.
"""

from __future__ import annotations

import functools
import itertools

import igl
import numpy as np
from scipy import sparse
from scipy.optimize import brentq
from scipy.sparse.csgraph import connected_components, dijkstra

from engine.errors import HeadModelError
from engine.heads.flatten import areas, flatten
from engine.heads.packing import pack

FACE_SHARE = 0.45
"""Part of all texels that the region ``face`` should get."""

DENSITY = {
    "eyes": 1.0,
    "eyes_back": 0.25,
    "eye_sockets": 0.35,
    "mouth_interior": 0.45,
    "teeth": 0.6,
    "tongue": 0.45,
    "lashes": 0.7,
    "torso": 0.33,
    "other": 0.5,
}
"""Texels per metre relative to the face, per island."""

NEAREST, FARTHEST = 2.5, 40.0  # of the inversion's centre before the face, in face radii: strongest and no emphasis
CROWN = 30.0  # degrees forward of straight up at which the seam over the back of the head ends
DART = 60.0  # degrees from straight back at which the cuts behind the ears end
SPLINTER = 40  # faces: smaller pieces join the island beside them
ITERATIONS, DRAFT_ITERATIONS = 60, 20


def unwrap(vertices: np.ndarray, faces: np.ndarray, regions: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lay a head mesh out flat without flips or overlaps.

    Args:
        vertices: [V, 3] metres, y up, z toward the viewer, x the subject's left. The skin is open at neck or chest.
        faces: [F, 3] int, counter-clockwise seen from outside.
        regions: name -> [V] bool (:data:`engine.heads.parametric.REGIONS`); ``face`` is needed, the others help.

    Returns:
        uv: [T, 2] float32 in 0..1, v up, the face upright and seen from the front.
        uv_faces: [F, 3] int32 into ``uv``, row for row with ``faces``.

    Raises:
        HeadModelError: there is no face, the skin has no opening, or a part of the mesh has a handle.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    if not regions["face"][faces].all(axis=1).any():
        raise HeadModelError("The head model has no face region.", "Use a complete head model file.")
    pairs = _edge_pairs(faces)
    labels, names = _islands(vertices, faces, regions, pairs)
    cut = labels[pairs[:, 0] // 3] != labels[pairs[:, 3] // 3]
    cut |= _seams(vertices, faces, regions["face"], pairs, labels, names)
    uv_faces, origin = _weld(faces, pairs[~cut])
    corners = vertices[origin]

    uv = np.zeros((len(origin), 2))
    for label, name in enumerate(names):
        if name == "skin":
            continue
        index, local = np.unique(uv_faces[labels == label], return_inverse=True)
        flat = flatten(corners[index], local.reshape(-1, 3), ITERATIONS)
        area = areas(corners[index], local.reshape(-1, 3)).sum() * DENSITY[name] ** 2
        uv[index] = _upright(flat, corners[index]) * np.sqrt(area)
    skin = labels == names.index("skin")
    others = areas(uv, uv_faces[~skin]).sum()
    index, local = np.unique(uv_faces[skin], return_inverse=True)
    uv[index] = _flatten_skin(corners[index], local.reshape(-1, 3), regions["face"][origin[index]], others)
    return pack(uv, uv_faces, labels).astype(np.float32), uv_faces.astype(np.int32)


def _edge_pairs(faces: np.ndarray) -> np.ndarray:
    """[E, 4] corners (face * 3 + k) that meet where two faces share an edge: first and second of one face, and which
    corners of the other face they lie on. Edges of three faces or of faces turned against each other are left out."""
    corner = np.arange(faces.size)
    following = corner - corner % 3 + (corner + 1) % 3
    start, end = faces.ravel(), faces.ravel()[following]
    low, high = np.minimum(start, end), np.maximum(start, end)
    order = np.lexsort((high, low))
    same = (low[order][1:] == low[order][:-1]) & (high[order][1:] == high[order][:-1])
    alone = same & ~np.r_[False, same[:-1]] & ~np.r_[same[1:], False]
    a, b = order[:-1][alone], order[1:][alone]
    a, b = a[start[a] == end[b]], b[start[a] == end[b]]
    return np.stack([a, following[a], following[b], b], axis=1)


def _islands(
    vertices: np.ndarray, faces: np.ndarray, regions: dict[str, np.ndarray], pairs: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """[F] island of every face, and the islands' names. Pieces that come apart become islands of their own."""
    pieces = _components(len(faces), pairs)
    inside = {name: member[faces].all(axis=1) for name, member in regions.items()}
    skin = pieces == np.argmax(np.bincount(pieces, inside["face"]))
    names = np.where(skin, "skin", "other").astype("<U16")
    for name in ("teeth", "tongue", "lashes", "eyes"):
        names[~skin & inside.get(name, False)] = name
    for name in ("torso", "mouth_interior"):
        names[skin & inside.get(name, False)] = name
    closed = np.setdiff1d(pieces, pieces[np.setdiff1d(np.arange(faces.size), pairs[:, [0, 3]]) // 3])
    under = np.zeros(len(faces), bool)
    middle, normal = vertices[faces].mean(axis=1), _normals(vertices, faces)
    for piece in np.unique(pieces):
        member = pieces == piece
        points = vertices[np.unique(faces[member])]
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        if (names[member] == "eyes").all():
            names[skin & _lines_socket((middle - centre) / (np.ptp(points[:, 0]) / 2), normal)] = "eye_sockets"
            names[member & (middle[:, 2] < centre[2])] = "eyes_back"
        elif piece in closed and not skin[member].any():
            thinnest = np.linalg.svd(points - centre, full_matrices=False)[2][-1]
            under[member] = normal[member] @ thinnest < 0
    known, kind = np.unique(names, return_inverse=True)
    kind = _absorb_splinters(2 * kind + under, pairs)
    labels = _components(len(faces), pairs[kind[pairs[:, 0] // 3] == kind[pairs[:, 3] // 3]])
    island_names = [str(known[kind[labels == label][0] // 2]) for label in range(labels.max() + 1)]
    main = np.argmax(np.bincount(labels, inside["face"]))
    return labels, ["other" if n == "skin" and k != main else n for k, n in enumerate(island_names)]


def _lines_socket(offset: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """[F] bool: skin behind an eyeball, or against it and facing it: the socket and the inside of the lids.

    Args:
        offset: [F, 3] from the eyeball's centre, in its radii. normal: [F, 3] unit.
    """
    distance = np.linalg.norm(offset, axis=1)
    behind = (np.linalg.norm(offset[:, :2], axis=1) < 1) & (offset[:, 2] < 0.5) & (distance < 2)
    return behind | ((distance < 1.25) & ((normal * offset).sum(axis=1) < -0.3 * distance))


def _absorb_splinters(kind: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """[F] kinds in which connected pieces of fewer than ``SPLINTER`` faces have gone over to a neighbour's kind."""
    kind, a, b = kind.copy(), pairs[:, 0] // 3, pairs[:, 3] // 3
    labels = _components(len(kind), pairs[kind[a] == kind[b]])
    sizes = np.bincount(labels)
    for label in np.argsort(sizes, kind="stable")[: int((sizes < SPLINTER).sum())]:
        around = np.r_[kind[b[labels[a] == label]], kind[a[labels[b] == label]]]
        around = around[around != kind[np.argmax(labels == label)]]
        if len(around):
            kind[labels == label] = np.argmax(np.bincount(around))
    return kind


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[F, 3] unit normals."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    return normal / np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-20)


def _components(count: int, pairs: np.ndarray) -> np.ndarray:
    """[F] connected piece of every face."""
    return _connected(count, pairs[:, 0] // 3, pairs[:, 3] // 3)


def _connected(count: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return connected_components(sparse.coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count)), directed=False)[1]


def _weld(faces: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners that meet at edges which are not cut become one UV point.

    Returns:
        [F, 3] UV point of every corner, and [T] the vertex of every UV point.
    """
    points = _connected(faces.size, pairs[:, :2].ravel(), pairs[:, 2:].ravel())
    origin = np.empty(points.max() + 1, np.int64)
    origin[points] = faces.ravel()
    return points.reshape(-1, 3), origin


def _seams(
    vertices: np.ndarray,
    faces: np.ndarray,
    face: np.ndarray,
    pairs: np.ndarray,
    labels: np.ndarray,
    names: list[str],
) -> np.ndarray:
    """[E] bool, pairs to cut: from the nape over the back of the head, behind both ears, and down the torso's back."""
    ends = faces.ravel()[pairs[:, :2]]
    radius = np.linalg.norm(vertices[face] - vertices[face].mean(axis=0), axis=1).mean()

    def path(inside: np.ndarray, source: int, target: int, normal: np.ndarray) -> list[tuple[int, int]]:
        """Edges of the shortest way that keeps to the plane through the source."""
        edges = ends[inside]
        away = np.abs((vertices[edges].mean(axis=1) - vertices[source]) @ normal)
        cost = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1) * (1 + 30 * away / radius)
        graph = sparse.coo_matrix((cost, tuple(edges.T)), shape=(len(vertices),) * 2).tocsr()
        _, before = dijkstra(graph, directed=False, indices=source, return_predecessors=True)
        way = [target]
        while way[-1] != source:
            way.append(int(before[way[-1]]))
        return list(itertools.pairwise(way))

    def hindmost(loop: list[int]) -> int:
        return loop[int(np.argmin(vertices[loop, 2] + 3 * np.abs(vertices[loop, 0] - vertices[face, 0].mean())))]

    steps: list[tuple[int, int]] = []
    sideways = np.array([1.0, 0, 0])
    for label, name in enumerate(names):
        if name not in ("skin", "torso"):
            continue
        inside = (labels[pairs[:, [0, 3]] // 3] == label).all(axis=1)
        loops = sorted(igl.boundary_loop_all(faces[labels == label]), key=lambda loop: vertices[loop, 1].mean())
        if name == "torso":
            if len(loops) > 1:
                steps += path(inside, hindmost(loops[-1]), hindmost(loops[0]), sideways)
            continue
        if not loops:
            raise HeadModelError("The head model's skin is closed all round.", "Open it at the neck.")
        used = np.unique(faces[labels == label])
        head = used[vertices[used, 1] > vertices[face, 1].min()]
        centre = vertices[face].mean(axis=0)
        centre[2] = (vertices[head, 2].min() + vertices[head, 2].max()) / 2
        direction = (vertices[head] - centre) / np.linalg.norm(vertices[head] - centre, axis=1, keepdims=True)
        crown, dart = np.deg2rad(CROWN), np.deg2rad(DART)
        top = head[np.argmax(direction @ [0, np.cos(crown), np.sin(crown)])]
        spine = path(inside, hindmost(loops[0]), top, sideways)
        along = np.unique(spine)
        back = along[np.argmin(np.abs(vertices[along, 1] - centre[1]) + (vertices[along, 2] > centre[2]))]
        sides = [head[np.argmax(direction @ [sign * np.sin(dart), 0, -np.cos(dart)])] for sign in (-1, 1)]
        steps += spine + [step for side in sides for step in path(inside, back, side, np.array([0, 1.0, 0]))]
    code = np.sort(np.array(steps), axis=1) @ [len(vertices), 1]
    return np.isin(np.sort(ends, axis=1) @ [len(vertices), 1], code)


def _flatten_skin(points: np.ndarray, faces: np.ndarray, face: np.ndarray, others: float) -> np.ndarray:
    """[K, 2]: the skin laid flat, the face at its true area and with the emphasis that brings it to ``FACE_SHARE``.

    Args:
        points: [K, 3]. faces: [F, 3]. face: [K] bool. others: area that the other islands take.
    """
    centre = points[face].mean(axis=0)
    radius = np.linalg.norm(points[face] - centre, axis=1).mean()
    in_face = face[faces].all(axis=1)
    true_area = areas(points, faces[in_face]).sum()

    def lay(distance: float, iterations: int) -> np.ndarray:
        offset = points - centre - [0, 0, distance * radius]
        inverted = offset / (offset**2).sum(axis=1, keepdims=True) * [1, 1, -1]
        flat = flatten(inverted, faces, iterations)
        return flat * np.sqrt(true_area / areas(flat, faces[in_face]).sum())

    @functools.cache
    def excess(log_distance: float) -> float:
        return true_area / (areas(lay(np.exp(log_distance), DRAFT_ITERATIONS), faces).sum() + others) - FACE_SHARE

    low, high = np.log(NEAREST), np.log(FARTHEST)
    if excess(low) < 0:
        best = low
    elif excess(high) > 0:
        best = high
    else:
        best = brentq(excess, low, high, xtol=0.1)
    flat = lay(np.exp(best), ITERATIONS)
    return _upright(flat, points, face)


def _upright(flat: np.ndarray, points: np.ndarray, anchor: np.ndarray | slice = slice(None)) -> np.ndarray:
    """[K, 2]: turned so that the anchor points lie as they are seen from the front."""
    a, b = flat[anchor] - flat[anchor].mean(axis=0), points[anchor, :2] - points[anchor, :2].mean(axis=0)
    angle = np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a * b).sum())
    c, s = np.cos(angle), np.sin(angle)
    return flat @ np.array([[c, s], [-s, c]])
