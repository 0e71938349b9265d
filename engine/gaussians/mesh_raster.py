"""Which triangle of a mesh each pixel sees, and where on it: a small z-buffer rasteriser on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from engine.kernels import njit

NEAR = 1e-3
"""Metres: surface nearer to the camera than this is not seen."""

_BAND = 8  # rows that one thread takes at a time; interleaved, so that a face in the middle keeps all threads busy


@dataclass(frozen=True)
class MeshRaster:
    """What a camera sees of a mesh, per pixel.

    Attributes:
        triangle: [H, W] int32, index of the nearest triangle, -1 where there is none.
        barycentric: [H, W, 3] float32, perspective-correct weights of its corners; 0 where there is none.
        depth: [H, W] float32, camera-space z in metres; inf where there is none.
    """

    triangle: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        """[H, W] bool."""
        return self.triangle >= 0

    def interpolate(self, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Carry values at vertices onto the pixels.

        Args:
            values: [V, C].
            faces: [F, 3], the faces that were rasterised (or their UV faces, with values per UV point).

        Returns:
            [H, W, C] float32, 0 where no triangle is seen.
        """
        corners = np.asarray(values, np.float32)[faces[np.maximum(self.triangle, 0)]]
        return np.einsum("hwk,hwkc->hwc", self.barycentric, corners)


def rasterize_mesh(
    vertices_camera: np.ndarray,
    faces: np.ndarray,
    K: np.ndarray,
    width: int,
    height: int,
    cull_back: bool = False,
) -> MeshRaster:
    """Find the nearest triangle at every pixel's centre.

    Rasterises in homogeneous coordinates (Olano and Greer, "Triangle scan conversion using 2D homogeneous
    coordinates", 1997): triangles that reach behind the camera need no clipping, and neighbours leave no cracks.
    Where two triangles lie at the same depth, the one with the lower index is seen.

    Args:
        vertices_camera: [V, 3] metres in camera space (x right, y down, z forward).
        faces: [F, 3] int.
        K: [3, 3] camera matrix in pixels, pixel centres at +0.5.
        width, height: pixels.
        cull_back: leave out triangles that turn their back to the camera.

    Returns:
        MeshRaster of ``height`` × ``width``.
    """
    vertices = np.ascontiguousarray(vertices_camera, np.float64)
    camera = np.ascontiguousarray(K, np.float64)
    indices = np.ascontiguousarray(faces, np.int64)
    edges, boxes = _set_up(vertices, indices, camera, np.linalg.inv(camera), width, height, cull_back)
    triangle = np.full((height, width), -1, np.int32)
    barycentric = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    _fill(edges, boxes, triangle, barycentric, depth, numba.get_num_threads())
    return MeshRaster(triangle, barycentric, depth)


@njit(parallel=True)
def _set_up(vertices, faces, camera, inverse, width, height, cull_back):
    """Per triangle: edge functions of the pixel's place [F, 3, 3], |determinant| last, and pixels to visit [F, 4]."""
    count = len(faces)
    edges = np.empty((count, 10))
    boxes = np.zeros((count, 4), np.int32)
    for f in numba.prange(count):
        corners = vertices[faces[f]]
        # Row i: the normal of the plane through the eye and the edge opposite to corner i.
        normals = np.empty((3, 3))
        for i in range(3):
            a, b = corners[(i + 1) % 3], corners[(i + 2) % 3]
            normals[i, 0] = a[1] * b[2] - a[2] * b[1]
            normals[i, 1] = a[2] * b[0] - a[0] * b[2]
            normals[i, 2] = a[0] * b[1] - a[1] * b[0]
        determinant = normals[0, 0] * corners[0, 0] + normals[0, 1] * corners[0, 1] + normals[0, 2] * corners[0, 2]
        if determinant == 0.0 or (cull_back and determinant > 0.0) or corners[:, 2].max() < NEAR:
            continue
        sign = 1.0 if determinant > 0.0 else -1.0
        for i in range(3):
            for j in range(3):
                edges[f, 3 * i + j] = sign * (
                    normals[i, 0] * inverse[0, j] + normals[i, 1] * inverse[1, j] + normals[i, 2] * inverse[2, j]
                )
        edges[f, 9] = abs(determinant)
        left, top, right, bottom = 0.0, 0.0, float(width), float(height)
        if corners[:, 2].min() >= NEAR:
            left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
            for i in range(3):
                x = (camera[0, 0] * corners[i, 0] + camera[0, 1] * corners[i, 1]) / corners[i, 2] + camera[0, 2]
                y = camera[1, 1] * corners[i, 1] / corners[i, 2] + camera[1, 2]
                left, right = min(left, x), max(right, x)
                top, bottom = min(top, y), max(bottom, y)
        boxes[f, 0] = int(min(max(np.floor(left - 0.5), 0.0), width))
        boxes[f, 1] = int(min(max(np.floor(top - 0.5), 0.0), height))
        boxes[f, 2] = int(min(max(np.ceil(right + 0.5), 0.0), width))
        boxes[f, 3] = int(min(max(np.ceil(bottom + 0.5), 0.0), height))
    return edges, boxes


@njit(parallel=True)
def _fill(edges, boxes, triangle, barycentric, depth, workers):
    for worker in numba.prange(workers):
        for f in range(len(edges)):
            e = edges[f]
            for row in range(boxes[f, 1], boxes[f, 3]):
                if (row // _BAND) % workers != worker:
                    continue
                y = row + 0.5
                for column in range(boxes[f, 0], boxes[f, 2]):
                    x = column + 0.5
                    w0 = e[0] * x + (e[1] * y + e[2])
                    w1 = e[3] * x + (e[4] * y + e[5])
                    w2 = e[6] * x + (e[7] * y + e[8])
                    if w0 < 0.0 or w1 < 0.0 or w2 < 0.0:
                        continue
                    total = w0 + w1 + w2
                    if total <= 0.0:
                        continue
                    z = np.float32(e[9] / total)
                    if z < NEAR or z >= depth[row, column]:
                        continue
                    depth[row, column] = z
                    triangle[row, column] = f
                    barycentric[row, column, 0] = w0 / total
                    barycentric[row, column, 1] = w1 / total
                    barycentric[row, column, 2] = w2 / total
