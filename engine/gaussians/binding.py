"""Ties Gaussians to triangles and carries them along when the mesh moves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from engine.gaussians.gaussians import BoundGaussians, Splats
from engine.gaussians.nearest import closest_on_triangles
from engine.gaussians.rotations import left_matrix, matrix_to_quat, quat_multiply

STRETCH = (0.5, 2.5)  # limits of a Gaussian's growth with its triangle, so that a collapsing lid or a gaping lip
# neither erases its Gaussians nor blows them up
FLAT_SINE_SQUARED = 1e-8  # a corner angle under 1e-4 rad: float32 cannot tell the normal any more
TINY = 1e-20  # m², twice the area of what still has a normal; torch would stop at 1e-12
POINT_SQUARED = 1e-24  # m²; an edge under a billionth of a millimetre has no direction


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
    y = functional.normalize(torch.linalg.cross(normal, x), dim=-1, eps=TINY)
    z = torch.linalg.cross(x, y)
    areas = torch.where(has_area.squeeze(-1), 0.5 * torch.linalg.vector_norm(normal, dim=-1), 0.0)
    return torch.stack((x, y, z), dim=-1), areas


@dataclass(frozen=True)
class Placement:
    """Where a deformed mesh carries N Gaussians that are bound to it.

    Attributes:
        maps: [N, 3, 6] from barycentrics and offset to the centre. turns: [N, 4, 4] from a quaternion in the triangle's
            frame to the world's. stretch: [N, 1], growth of the scales.
    """

    maps: torch.Tensor
    turns: torch.Tensor
    stretch: torch.Tensor


def place(triangles: torch.Tensor, vertices: torch.Tensor, faces: torch.Tensor, rest_areas: torch.Tensor) -> Placement:
    """What :func:`pose` needs to know of the mesh, for Gaussians on ``triangles`` [N]; its other arguments."""
    rotations, areas = triangle_frames(vertices, faces)
    has_rest = rest_areas > 0
    growth = torch.where(has_rest, areas / torch.where(has_rest, rest_areas, 1.0), 1.0)
    # Clamped before the root: its gradient at an area of zero is infinite.
    stretch = growth.clamp(STRETCH[0] ** 2, STRETCH[1] ** 2).sqrt()

    # One gather per Gaussian of one [3, 6] map from (barycentrics, offset) to its centre is the fastest order.
    corners = vertices.index_select(0, faces.reshape(-1).long()).view(-1, 3, 3).transpose(1, 2)
    maps = torch.cat((corners, rotations * stretch[:, None, None]), dim=2)  # [F, 3, 6]
    turns = left_matrix(matrix_to_quat(rotations))
    return Placement(*(each.index_select(0, triangles) for each in (maps, turns, stretch[:, None])))


def carry(gaussians: BoundGaussians, placement: Placement) -> Splats:
    """Gaussians in world space on a mesh that has been looked at already; differentiable in the Gaussians."""
    local = torch.cat((gaussians.barycentrics, gaussians.offsets), dim=1)  # [N, 6]
    means = torch.bmm(placement.maps, local[:, :, None]).squeeze(-1)
    quats = torch.bmm(placement.turns, gaussians.quats[:, :, None]).squeeze(-1)
    return Splats(means, quats, gaussians.scales * placement.stretch, gaussians.opacities, gaussians.colors)


def pose(gaussians: BoundGaussians, vertices: torch.Tensor, faces: torch.Tensor, rest_areas: torch.Tensor) -> Splats:
    """Gaussians in world space under a deformed mesh; differentiable in the Gaussians and in the vertices.

    Args:
        gaussians: N Gaussians bound to the mesh. For Gaussians that also change with the expression, replace their
            fields before the call.
        vertices: [V, 3] metres, deformed.
        faces: [F, 3] integers.
        rest_areas: [F] m², the areas of the mesh that the Gaussians were bound on.
    """
    return carry(gaussians, place(gaussians.triangles, vertices, faces, rest_areas))


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
    """The closest place on a mesh for every point, exact; not differentiable.

    Args:
        points: [N, 3] metres. vertices: [V, 3]. faces: [F, 3] integers.
        candidates: [C] integers, the only triangles to choose from; all by default.

    Returns:
        triangles [N] int64 into ``faces``; barycentrics [N, 3] in 0..1 of the closest place; on the points' device.
    """
    chosen = torch.arange(len(faces)) if candidates is None else candidates.detach().cpu().long()
    corners = vertices.detach().cpu().double()[faces.detach().cpu().long()[chosen]]  # [C, 3, 3]
    places = points.detach().cpu().double().contiguous()
    nearest, barycentrics = closest_on_triangles(places.numpy(), corners.numpy())
    return chosen[torch.from_numpy(nearest)].to(points.device), torch.from_numpy(barycentrics).to(points)
