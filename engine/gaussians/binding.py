"""Ties Gaussians to triangles and carries them along when the mesh moves."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree
from torch.nn import functional

from engine.gaussians.gaussians import BoundGaussians, Splats
from engine.gaussians.rotations import matrix_to_quat, quat_multiply

STRETCH = (0.5, 2.5)  # limits of a Gaussian's growth with its triangle, so that a collapsing lid or a gaping lip
# neither erases its Gaussians nor blows them up
FLAT_SINE_SQUARED = 1e-8  # a corner angle under 1e-4 rad: float32 cannot tell the normal any more
POINT_SQUARED = 1e-24  # m²; an edge under a billionth of a millimetre has no direction
NEAREST_AT_FIRST = 8  # triangles tried per point before the search is widened
PAIRS_AT_ONCE = 1 << 19  # point-triangle pairs in one vectorised test, keeps memory near 200 MB


def triangle_frames(vertices: torch.Tensor, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Orthonormal frame and area of every triangle.

    A triangle without area still gets a proper frame: x along its first edge (the world's x where that has no length
    either), z any direction square to it.

    Args:
        vertices: [V, 3] metres.
        faces: [F, 3] integers into ``vertices``.

    Returns:
        rotations [F, 3, 3], columns x = normalise(p1 - p0), y = z × x, z = the normal; areas [F] in m².
    """
    p0, p1, p2 = vertices.index_select(0, faces.reshape(-1).long()).view(-1, 3, 3).unbind(1)
    first, second = p1 - p0, p2 - p0
    first_squared = first.square().sum(-1, keepdim=True)
    has_edge = first_squared > POINT_SQUARED
    x = functional.normalize(torch.where(has_edge, first, first.new_tensor((1.0, 0.0, 0.0))), dim=-1)

    normal = torch.linalg.cross(first, second)
    product = first_squared * second.square().sum(-1, keepdim=True)
    has_area = normal.square().sum(-1, keepdim=True) > (FLAT_SINE_SQUARED * product).clamp_min(POINT_SQUARED**2)
    least = functional.one_hot(x.abs().argmin(-1), 3).to(x.dtype)
    normal = torch.where(has_area, normal, torch.linalg.cross(x, least))
    y = functional.normalize(torch.linalg.cross(normal, x), dim=-1)
    z = torch.linalg.cross(x, y)
    areas = torch.where(has_area.squeeze(-1), 0.5 * torch.linalg.vector_norm(normal, dim=-1), 0.0)
    return torch.stack((x, y, z), dim=-1), areas


def pose(
    gaussians: BoundGaussians, vertices: torch.Tensor, faces: torch.Tensor, rest_areas: torch.Tensor
) -> Splats:
    """Gaussians in world space under a deformed mesh; differentiable in the Gaussians and in the vertices.

    Args:
        gaussians: N Gaussians bound to the mesh. For Gaussians that also change with the expression, replace their
            fields before the call.
        vertices: [V, 3] metres, deformed.
        faces: [F, 3] integers.
        rest_areas: [F] m², the areas of the mesh that the Gaussians were bound on.
    """
    rotations, areas = triangle_frames(vertices, faces)
    has_rest = rest_areas > 0
    growth = torch.where(has_rest, areas / torch.where(has_rest, rest_areas, 1.0), 1.0)
    # Clamped before the root: its gradient at an area of zero is infinite.
    stretch = growth.clamp(STRETCH[0] ** 2, STRETCH[1] ** 2).sqrt()

    # One gather per Gaussian of one [3, 6] map from (barycentrics, offset) to its centre is the fastest order.
    corners = vertices.index_select(0, faces.reshape(-1).long()).view(-1, 3, 3).transpose(1, 2)
    maps = torch.cat((corners, rotations * stretch[:, None, None]), dim=2)  # [F, 3, 6]
    local = torch.cat((gaussians.barycentrics, gaussians.offsets), dim=1)  # [N, 6]
    triangles = gaussians.triangles
    means = torch.bmm(maps.index_select(0, triangles), local[:, :, None]).squeeze(-1)
    quats = quat_multiply(matrix_to_quat(rotations).index_select(0, triangles), gaussians.quats)
    scales = gaussians.scales * stretch.index_select(0, triangles)[:, None]
    return Splats(means, quats, scales, gaussians.opacities, gaussians.colors)


def bind(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    colors: torch.Tensor,
    parts: torch.Tensor,
    vertices: torch.Tensor,
    faces: torch.Tensor,
    triangles: torch.Tensor,
    barycentrics: torch.Tensor,
) -> BoundGaussians:
    """Tie Gaussians given in world space to triangles of the rest mesh; the inverse of :func:`pose` there.

    Args:
        means: [N, 3] metres. quats: [N, 4] wxyz. scales: [N, 3] metres. opacities: [N]. colors: [N, 3].
        parts: [N] uint8, see :data:`engine.gaussians.gaussians.PARTS`.
        vertices: [V, 3] metres, at rest.
        faces: [F, 3] integers.
        triangles: [N] integers, the triangle that each Gaussian shall follow.
        barycentrics: [N, 3], its anchor in that triangle; what is left to ``means`` becomes the offset.
    """
    triangles = triangles.long()
    rotations, _ = triangle_frames(vertices, faces)
    corners = vertices[faces.long()[triangles]]  # [N, 3, 3], one corner a row
    anchors = (barycentrics[:, :, None] * corners).sum(1)
    offsets = (rotations[triangles] * (means - anchors)[:, :, None]).sum(1)
    inverse = matrix_to_quat(rotations) * means.new_tensor((1.0, -1.0, -1.0, -1.0))
    local = functional.normalize(quat_multiply(inverse[triangles], quats), dim=-1)
    return BoundGaussians(triangles, barycentrics, offsets, local, scales, opacities, colors, parts)


def nearest_triangles(
    points: torch.Tensor, vertices: torch.Tensor, faces: torch.Tensor, candidates: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The closest place on a mesh for every point, exactly.

    Large triangles enter the KD-tree as several samples, so that one small radius covers what any sample stands for;
    the search widens until no triangle that was not tried can be closer.

    Args:
        points: [N, 3] metres. vertices: [V, 3]. faces: [F, 3] integers.
        candidates: [C] integers, the only triangles to choose from; all by default.

    Returns:
        triangles [N] int64 into ``faces``, barycentrics [N, 3] in 0..1 of the closest place, both on the points' device.
    """
    chosen = np.arange(len(faces)) if candidates is None else candidates.detach().cpu().numpy()
    corners = vertices.detach().cpu().double().numpy()[faces.cpu().numpy()[chosen]]  # [C, 3, 3]
    places = points.detach().cpu().double().numpy()
    samples, owners, radius = _samples(corners)
    tree = cKDTree(samples)

    best = np.full(len(places), np.inf)
    nearest = np.zeros(len(places), np.int64)
    closest = np.zeros((len(places), 3))
    open_points = np.arange(len(places))
    width = NEAREST_AT_FIRST
    while len(open_points):
        width = min(width, len(samples))
        still_open = []
        for rows in np.array_split(open_points, -(-len(open_points) * width // PAIRS_AT_ONCE)):
            distances, hits = tree.query(places[rows], k=np.arange(1, width + 1), workers=-1)
            tried = owners[hits]  # [n, width]
            on_triangle = trimesh.triangles.closest_point(
                corners[tried.reshape(-1)], np.repeat(places[rows], width, axis=0)
            ).reshape(len(rows), width, 3)
            gaps = np.linalg.norm(on_triangle - places[rows, None], axis=-1)
            column = gaps.argmin(1)
            picked = np.arange(len(rows)), column
            best[rows], nearest[rows], closest[rows] = gaps[picked], tried[picked], on_triangle[picked]
            still_open.append(rows[distances[:, -1] < best[rows] + radius])
        open_points = np.concatenate(still_open) if width < len(samples) else open_points[:0]
        width *= 4
    barycentrics = _barycentrics(corners[nearest], closest)
    return (
        torch.from_numpy(chosen[nearest]).to(points.device, torch.int64),
        torch.from_numpy(barycentrics).to(points),
    )


def _samples(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Points [S, 3] that stand for triangles [C, 3, 3], their owners [S], and how far an owner reaches from a sample."""
    reach = np.linalg.norm(corners - corners.mean(1, keepdims=True), axis=-1).max(1)
    radius = max(float(np.median(reach)), float(reach.max()) / 16, 1e-9)
    cuts = np.ceil(reach / radius).clip(1).astype(np.int64)  # each edge in so many pieces: cuts² equal triangles
    samples, owners = [], []
    for count in np.unique(cuts):
        i, j = (axis.reshape(-1) for axis in np.meshgrid(np.arange(count), np.arange(count), indexing="ij"))
        upright, turned = i + j < count, i + j < count - 1
        first = np.concatenate((i[upright] + 1 / 3, i[turned] + 2 / 3)) / count
        second = np.concatenate((j[upright] + 1 / 3, j[turned] + 2 / 3)) / count
        weights = np.stack((1 - first - second, first, second), axis=1)  # [count², 3]
        members = np.flatnonzero(cuts == count)
        samples.append(np.einsum("sk,ckd->csd", weights, corners[members]).reshape(-1, 3))
        owners.append(np.repeat(members, len(weights)))
    return np.concatenate(samples), np.concatenate(owners), radius


def _barycentrics(corners: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Barycentrics [N, 3] of places [N, 3] on triangles [N, 3, 3]; of a triangle without area, along its longest edge."""
    p0, p1, p2 = corners[:, 0], corners[:, 1], corners[:, 2]
    normal = np.cross(p1 - p0, p2 - p0)
    squared = np.einsum("nd,nd->n", normal, normal)
    solid = squared > 0
    safe = np.where(solid, squared, 1.0)
    second = np.einsum("nd,nd->n", np.cross(places - p0, p2 - p0), normal) / safe
    third = np.einsum("nd,nd->n", np.cross(p1 - p0, places - p0), normal) / safe
    weights = np.stack((1 - second - third, second, third), axis=1)
    for row in np.flatnonzero(~solid):
        weights[row] = _along_longest_edge(corners[row], places[row])
    weights = weights.clip(0.0, 1.0)
    return weights / weights.sum(1, keepdims=True)


def _along_longest_edge(corners: np.ndarray, place: np.ndarray) -> np.ndarray:
    edges = np.roll(corners, -1, axis=0) - corners
    start = int(np.linalg.norm(edges, axis=1).argmax())
    length_squared = float(edges[start] @ edges[start])
    along = float((place - corners[start]) @ edges[start]) / length_squared if length_squared > 0 else 0.0
    weights = np.zeros(3)
    weights[start], weights[(start + 1) % 3] = 1 - along, along
    return weights
