"""Where MediaPipe's 478 face landmarks lie on any head mesh: found by looking at its portraits, view by view."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from engine.errors import HeadModelError
from engine.gaussians.nearest import closest_on_triangles
from engine.heads.parametric import MOUTH_INSIDE
from engine.heads.portrait import IRIS_RADIUS, Portrait, eyeballs, take_portrait, vertex_normals
from engine.landmarker import detect_faces
from engine.landmarker.face import FACE_OVAL
from engine.landmarker.models import canonical

COUNT = 478
IRISES = range(468, 478)  # five of the subject's right eye, then five of the left; the centre first
NOSE_TIP, CHIN = 1, 152
LEFT_IRIS, RIGHT_IRIS = 473, 468
UPPER_LIP_INNER = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_LIP_INNER = (95, 88, 178, 87, 14, 317, 402, 318, 324)
RIGHT_LIDS = ((246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155))  # upper and lower rim
LEFT_LIDS = ((466, 388, 387, 386, 385, 384, 398), (249, 390, 373, 374, 380, 381, 382))

# Outlines of the open eyes, one landmark after the other: outer corner, lower lid, inner corner, upper lid.
EYE_RIMS = {
    LEFT_IRIS: (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
    RIGHT_IRIS: (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
}

VIEWS = tuple(np.deg2rad([(0, 0), (-12, 0), (12, 0), (-25, 0), (25, 0), (0, -10), (0, 10)]))  # yaw, pitch
KEY_LIGHTS = ((0.3, 0.5, 1.0), (-0.5, 0.3, 1.0), (0.0, 0.9, 0.8))
AVERTED = 0.15  # weight of a view that does not see the place, beside up to 1 for one that faces it
STRIDE = 0.01  # metres, the longest step along the surface
TRUSTED_SPREAD = 2e-3  # metres between views at which a landmark is half trusted
OVAL_TRUST = 0.5  # the outline follows the silhouette, not the skin
SYMMETRIC = 1e-3  # metres between a mesh and its mirror image that still count as symmetric
NOT_SKIN = ("eyes", "lashes", *MOUTH_INSIDE)


def find_landmarks(
    template: np.ndarray, faces: np.ndarray, regions: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correspond MediaPipe's landmarks with a head mesh, without any embedding file.

    The mesh is drawn from seven directions under three lights, and each landmark goes to the surface point nearest to
    all its lines of sight. Skin landmarks lie on the skin, lips on their own side of the mouth's line, irises on the
    eyeballs. On a symmetric mesh the result is symmetric.

    Args:
        template: [V, 3] metres, y up, z toward the viewer, x the subject's left; eyes open, gaze ahead, mouth closed.
        faces: [F, 3] counter-clockwise seen from outside.
        regions: name -> [V] bool. ``eyes`` is needed; lips and the parts inside the mouth help where known.

    Returns:
        triangles [478] int32; barycentrics [478, 3] float32; weights [478] float32 in 0..1, low where the views
        disagree and on the face's outline.

    Raises:
        HeadModelError: no face is found in any portrait of the mesh.
    """
    template = np.asarray(template, np.float64)
    visible = ~_touching(faces, regions, ("lashes",))
    portraits = [
        take_portrait(template, faces[visible], regions, yaw, pitch, np.array(light))
        for (yaw, pitch), light in product(VIEWS, KEY_LIGHTS)
    ]
    found = [
        (portrait, pixels)
        for portrait, pixels in zip(portraits, detect_in(portraits), strict=True)
        if pixels is not None
    ]
    if not found:
        raise HeadModelError("No face is seen in the portraits of this head model.", "Check that it is a human head.")
    points, spread = _locate(found, template, faces[visible])
    _put_on_lid_rims(portraits[0], _touching(faces[visible], regions, ("eyes",)), points)
    skin = ~_touching(faces, regions, NOT_SKIN)
    allowed = np.broadcast_to(skin, (COUNT, len(faces))).copy()
    upper = nearer_to_nose(template, faces[skin], points)
    allowed[list(UPPER_LIP_INNER)] &= upper[faces].all(axis=1)
    allowed[list(LOWER_LIP_INNER)] &= ~upper[faces].any(axis=1)
    if _is_symmetric(template):
        points, spread = _symmetrise(points, spread)
    points[list(IRISES)] = _on_eyeballs(template, regions["eyes"], points)
    allowed[list(IRISES)] = regions["eyes"][faces].all(axis=1)

    triangles, barycentrics = _snap(points, template, faces, allowed)
    weights = 1 / (1 + (spread / TRUSTED_SPREAD) ** 2)
    weights[list(FACE_OVAL)] *= OVAL_TRUST
    return triangles.astype(np.int32), barycentrics.astype(np.float32), weights.astype(np.float32)


def mirror_pairs(points: np.ndarray) -> np.ndarray:
    """[478] int: the landmark on the other side of the face, for ``points`` [478, 3] on a symmetric head.

    Place alone confuses the touching lips; the mirror image must also respect the detector's triangulation, whose
    edges' share of agreement is added to the cost until the assignment stands.
    """
    edges = canonical().triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    linked = np.zeros((len(points), len(points)))
    linked[edges[:, 0], edges[:, 1]] = linked[edges[:, 1], edges[:, 0]] = 1
    iris = RIGHT_IRIS + np.arange(5)
    linked[np.ix_(iris[:1], iris[1:])] = linked[np.ix_(iris[:1] + 5, iris[1:] + 5)] = 1
    linked = np.maximum(linked, linked.T)
    degree = np.maximum(linked.sum(axis=1), 1)
    distance = np.linalg.norm(points[:, None] * [-1, 1, 1] - points[None], axis=-1)
    # The irises lie on top of each eye's other landmarks' depth; keep the two sets apart.
    is_iris = np.isin(np.arange(len(points)), IRISES)
    distance[is_iris[:, None] != is_iris[None]] = 1.0
    pairs = linear_sum_assignment(distance)[1]
    for _ in range(10):
        agreement = linked @ np.eye(len(points))[pairs] @ linked / np.minimum(degree[:, None], degree[None])
        again = linear_sum_assignment(distance - 0.02 * agreement)[1]
        if (again == pairs).all():
            break
        pairs = again
    return pairs


def _touching(faces: np.ndarray, regions: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """[F] bool: triangles with all corners in one of the named regions."""
    inside = np.zeros(len(faces), bool)
    for name in names:
        if name in regions:
            inside |= regions[name][faces].all(axis=1)
    return inside


def detect_in(portraits: list[Portrait]) -> list[np.ndarray | None]:
    """Pixel positions [478, 2] in each portrait, None where no face is found."""
    looks = (detect_faces(portrait.image) for portrait in portraits)
    return [faces[0].landmarks[:, :2] if faces else None for faces in looks]


def _locate(
    sightings: list[tuple[Portrait, np.ndarray]], template: np.ndarray, faces: np.ndarray, rounds: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """The surface points [478, 3] that all lines of sight miss the least, and by how much [478], in metres.

    Starts under the pixels of the first view and walks along the surface by Gauss-Newton steps on the distances to
    the rays, each weighted by one over itself, so that a view gone astray is outvoted (Weiszfeld's median). Unlike
    the median of the points under the pixels it is not thrown off where the surface turns away.
    """
    eyes = np.stack([portrait.eye for portrait, _ in sightings])[:, None]  # [N, 1, 3]
    rays = np.stack([portrait.rays(pixels) for portrait, pixels in sightings])  # [N, 478, 3]
    corners, normals = template[faces], vertex_normals(template, faces)
    points = _under(*sightings[0])
    for _ in range(rounds):
        triangles, barycentrics = closest_on_triangles(points, corners)
        points = np.einsum("nk,nkc->nc", barycentrics, corners[triangles])
        normal = np.einsum("nk,nkc->nc", barycentrics, normals[faces[triangles]])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        away = points - eyes
        miss = away - (away * rays).sum(axis=-1, keepdims=True) * rays  # [N, 478, 3], square to each ray
        distance = np.linalg.norm(miss, axis=-1)
        weights = AVERTED + np.clip(-(rays * normal).sum(axis=-1), 0, None)
        spread = (weights * distance).sum(axis=0) / weights.sum(axis=0)
        pull = weights / np.maximum(distance, 1e-4)
        across = np.eye(3) - rays[..., :, None] * rays[..., None, :]
        held = pull.sum(axis=0)[:, None, None] * normal[:, :, None] * normal[:, None, :]  # no step off the surface
        normal_matrix = (pull[..., None, None] * across).sum(axis=0) + 100 * held
        step = -np.linalg.solve(normal_matrix, (pull[..., None] * miss).sum(axis=0)[..., None])[..., 0]
        points = points + step * np.minimum(1, STRIDE / np.maximum(np.linalg.norm(step, axis=1), 1e-9))[:, None]
    return points, spread


def _put_on_lid_rims(front: Portrait, eye_faces: np.ndarray, points: np.ndarray) -> None:
    """Move the lids' landmarks among ``points`` [478, 3] to where the eyeballs disappear under the lids.

    In photos that is nearly where the detector puts them; in a portrait without lashes and the shadow under them it
    puts them up to a millimetre further out, and eyes that are fitted so stay too narrow.

    Args:
        front: the portrait from straight ahead. eye_faces: [F] bool, its triangles that are an eyeball's.
    """
    on_eye = eye_faces[np.maximum(front.raster.triangle, 0)] & front.raster.covered
    pixels = (points - front.eye) @ front.rotation @ front.K.T
    pixels = (pixels[:, :2] / pixels[:, 2:]).astype(int)
    for rim in EYE_RIMS.values():
        for lid, edge in ((rim[1:8], np.max), (rim[9:], np.min)):
            for landmark in lid:
                column = pixels[landmark, 0]
                rows = np.flatnonzero(on_eye[:, column])
                if len(rows):
                    points[landmark] = front.points[edge(rows), column]


def _under(portrait: Portrait, pixels: np.ndarray) -> np.ndarray:
    """[478, 3] the visible surface nearest to each pixel."""
    rows, columns = np.nonzero(portrait.raster.covered)
    _, nearest = cKDTree(np.stack([columns, rows], axis=1) + 0.5).query(pixels)
    return portrait.points[rows[nearest], columns[nearest]].astype(np.float64)


def nearer_to_nose(template: np.ndarray, skin_faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[V] bool: skin that is nearer to the nose than to the chin along the surface, which parts at the mouth."""
    ends = np.unique(skin_faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=0)
    length = np.linalg.norm(template[ends[:, 0]] - template[ends[:, 1]], axis=1)
    graph = coo_array((length, (ends[:, 0], ends[:, 1])), shape=(len(template),) * 2).tocsr()
    on_skin = np.unique(skin_faces)
    _, seeds = cKDTree(template[on_skin]).query(points[[NOSE_TIP, CHIN]])
    nose, chin = dijkstra(graph, directed=False, indices=on_skin[seeds])
    return nose < chin


def _is_symmetric(template: np.ndarray) -> bool:
    gap, _ = cKDTree(template).query(template * [-1, 1, 1])
    return bool(np.median(gap) < SYMMETRIC)


def _symmetrise(points: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = mirror_pairs(points)
    return (points + points[pairs] * [-1, 1, 1]) / 2, (spread + spread[pairs]) / 2


def _on_eyeballs(template: np.ndarray, eyes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[10, 3] the irises: centre on the pole of each eyeball, four points on the ring, each where it was seen."""
    placed = np.empty((10, 3))
    for eye, first in zip(eyeballs(template, eyes), (LEFT_IRIS, RIGHT_IRIS), strict=True):
        ring = points[first + 1 : first + 5] - points[first]
        ring[:, 2] = 0
        # Snap the seen directions to the cross that they stand for: left, right, up, down.
        axis = np.abs(ring).argmax(axis=1)
        cross = np.zeros((4, 3))
        cross[np.arange(4), axis] = np.sign(ring[np.arange(4), axis])
        depth = np.sqrt(max(eye.radius**2 - IRIS_RADIUS**2, 0.0))
        placed[first - 468] = eye.centre + [0, 0, eye.radius]
        placed[first - 467 : first - 463] = eye.centre + IRIS_RADIUS * cross + [0, 0, depth]
    return placed


def _snap(
    points: np.ndarray, template: np.ndarray, faces: np.ndarray, allowed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The closest place [478], [478, 3] for each point among the triangles that it may lie on."""
    triangles, barycentrics = np.zeros(len(points), np.int64), np.zeros((len(points), 3))
    kinds, member = np.unique(allowed, axis=0, return_inverse=True)
    for kind, permitted in enumerate(kinds):
        mine, candidates = np.nonzero(member.ravel() == kind)[0], np.nonzero(permitted)[0]
        nearest, barycentrics[mine] = closest_on_triangles(points[mine], template[faces[candidates]])
        triangles[mine] = candidates[nearest]
    return triangles, barycentrics
