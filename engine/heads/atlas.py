"""UV atlas: which triangle and which point of it every texel is, and the ways between texels and vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree

from engine.gaussians.mesh_raster import rasterize_mesh

DEFAULT_TEXELS = 130_000
"""Gaussians on a head's surface where nobody asks for another number (UIKA's, arXiv 2601.07603, UV decoder)."""
"""Texels, and so surface Gaussians, of a finished avatar."""

_STRAY = 3.0  # texels of unconnected triangles that lie farther apart than this many of their shortest steps
_SEAM_CANDIDATES = 12  # nearest border texels looked at for a partner across a seam


@dataclass(frozen=True)
class Atlas:
    """R × R texels laid over a head's UV map. Row 0 is v = 1 (as in an image), column 0 is u = 0, centres at +0.5.

    "Valid texels" are those under a triangle; their order everywhere is row by row (``np.flatnonzero(mask)``).

    Attributes:
        resolution: R.
        triangle: [R, R] int32, index into the head's faces, -1 where empty.
        barycentric: [R, R, 3] float32, weights of that face's corners; 0 where empty.
        mask: [R, R] bool, the valid texels.
    """

    resolution: int
    triangle: np.ndarray
    barycentric: np.ndarray
    mask: np.ndarray


def make_atlas(uv: np.ndarray, uv_faces: np.ndarray, resolution: int) -> Atlas:
    """Rasterise a UV map.

    Args:
        uv: [T, 2] in 0..1, v up.
        uv_faces: [F, 3] int into ``uv``, row for row with the head's faces.
        resolution: texels per side.

    Returns:
        Atlas; a texel is valid where its centre lies in a triangle.
    """
    # A camera at the origin with focal length 1 sees the plane z = 1 in texels.
    plane = np.column_stack([uv[:, 0] * resolution, (1 - uv[:, 1]) * resolution, np.ones(len(uv))])
    raster = rasterize_mesh(plane, uv_faces, np.eye(3), resolution, resolution)
    return Atlas(resolution, raster.triangle, raster.barycentric, raster.covered)


def texels_for_count(uv: np.ndarray, uv_faces: np.ndarray, count: int = DEFAULT_TEXELS) -> int:
    """The resolution at which about ``count`` texels are valid (within a per cent; UV maps here have no overlaps)."""
    a, b, c = np.asarray(uv, np.float64)[uv_faces].transpose(1, 0, 2)
    covered = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2
    return max(1, round(float(np.sqrt(count / covered))))


def gather(atlas: Atlas, faces: np.ndarray, vertex_attribute: torch.Tensor) -> torch.Tensor:
    """Interpolate values at vertices onto the texels; differentiable.

    Args:
        faces: [F, 3] int, the head's faces.
        vertex_attribute: [V, C] on any device.

    Returns:
        [R, R, C], 0 at empty texels.
    """
    corners, weights = _corners(atlas, faces, vertex_attribute)
    values = (vertex_attribute[corners] * weights[..., None]).sum(dim=1)  # [M, C]
    image = values.new_zeros(atlas.resolution**2, values.shape[1])
    valid = torch.from_numpy(np.flatnonzero(atlas.mask)).to(values.device)
    return image.index_copy(0, valid, values).reshape(atlas.resolution, atlas.resolution, -1)


def position_map(atlas: Atlas, faces: np.ndarray, vertices: torch.Tensor) -> torch.Tensor:
    """[R, R, 3]: where each texel lies on the mesh of ``vertices`` [V, 3]; 0 at empty texels."""
    return gather(atlas, faces, vertices)


def region_masks(atlas: Atlas, faces: np.ndarray, regions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Regions of vertices (name -> [V] bool) as regions of texels (name -> [R, R] bool): at least half inside."""
    stacked = torch.from_numpy(np.stack(list(regions.values()), axis=1).astype(np.float32))
    share = gather(atlas, faces, stacked).numpy()
    return {name: (share[..., k] >= 0.5) & atlas.mask for k, name in enumerate(regions)}


def texel_neighbours(atlas: Atlas, faces: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Pairs of valid texels that are neighbours on the surface, for smoothness terms.

    Two kinds: side by side in the atlas and also near in space; and on the two sides of a UV seam, in triangles of the
    mesh that share a vertex (so that lips which merely touch are never paired).

    Args:
        faces: [F, 3] int, the head's faces.
        positions: [R, R, 3] metres, the :func:`position_map` of the template.

    Returns:
        [M, 2] int64 indices into the valid texels, each pair once, the smaller index first.
    """
    mask, points = atlas.mask, np.asarray(positions, np.float64)[atlas.mask]
    corners = faces[atlas.triangle[mask]]  # [M, 3]
    number = np.full(mask.shape, -1, np.int64)
    number[mask] = np.arange(len(points))
    beside = np.concatenate(
        [
            np.stack([number[:, :-1], number[:, 1:]], axis=-1).reshape(-1, 2),
            np.stack([number[:-1], number[1:]], axis=-1).reshape(-1, 2),
        ]
    )
    beside = beside[(beside >= 0).all(axis=1)]
    length = np.linalg.norm(points[beside[:, 0]] - points[beside[:, 1]], axis=1)
    shortest = np.full(len(points), np.inf)
    np.minimum.at(shortest, beside.ravel(), length.repeat(2))
    near = _share_vertex(corners, beside) | (length <= _STRAY * shortest[beside].min(axis=1))
    beside, length = beside[near], length[near]
    reach = np.zeros(len(points))
    np.maximum.at(reach, beside.ravel(), length.repeat(2))
    return np.unique(np.sort(np.concatenate([beside, _across_seams(points, corners, mask, reach)]), axis=1), axis=0)


def _across_seams(points: np.ndarray, corners: np.ndarray, mask: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """[N, 2]: each texel at an island's border with its nearest partner on the seam's other side, if it has one."""
    inner = np.pad(mask, 1)
    inner = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    border = np.flatnonzero(~inner[mask])
    cells = np.argwhere(mask)[border]
    _, found = cKDTree(points[border]).query(points[border], k=min(_SEAM_CANDIDATES, len(border)))
    found = found.reshape(len(border), -1)
    pairs = np.stack([np.arange(len(border)).repeat(found.shape[1]), found.ravel()], axis=1)
    apart = np.abs(cells[pairs[:, 0]] - cells[pairs[:, 1]]).max(axis=1) > 2
    pairs = border[pairs]
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    pairs = pairs[apart & (length <= reach[pairs].sum(axis=1)) & _share_vertex(corners, pairs)]
    _, first = np.unique(pairs[:, 0], return_index=True)  # candidates come nearest first
    return pairs[first]


def _share_vertex(corners: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """[N] bool: the two texels' triangles have a vertex of the mesh in common."""
    return (corners[pairs[:, 0]][:, :, None] == corners[pairs[:, 1]][:, None]).any(axis=(1, 2))


def _corners(atlas: Atlas, faces: np.ndarray, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices [M, 3] int64 and weights [M, 3] of the valid texels, on the device and in the dtype of ``like``."""
    corners = torch.from_numpy(np.asarray(faces, np.int64)[atlas.triangle[atlas.mask]])
    weights = torch.from_numpy(atlas.barycentric[atlas.mask])
    return corners.to(like.device), weights.to(like.device, like.dtype)
