"""The mesh rasteriser against rays cast one by one in float64."""

import numpy as np
import pytest

from engine.gaussians.mesh_raster import NEAR, rasterize_mesh

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 47, 33
K = np.array([[41.0, 0.7, 22.3], [0.0, 38.0, 17.9], [0.0, 0.0, 1.0]])


def cast_rays(vertices: np.ndarray, faces: np.ndarray, cull_back: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve ``t · ray = Σ λ corner`` for every pixel and triangle; the specification of the rasteriser."""
    triangle = np.full((HEIGHT, WIDTH), -1)
    barycentric = np.zeros((HEIGHT, WIDTH, 3))
    depth = np.full((HEIGHT, WIDTH), np.inf)
    for f, face in enumerate(faces):
        corners = vertices[face]
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        if cull_back and normal @ corners[0] >= 0:
            continue
        for row in range(HEIGHT):
            for column in range(WIDTH):
                ray = np.linalg.solve(K, [column + 0.5, row + 0.5, 1.0])
                weights = np.linalg.solve(corners.T, ray)
                t = 1 / weights.sum()
                if t >= NEAR and (weights >= 0).all() and t < depth[row, column]:
                    triangle[row, column], barycentric[row, column], depth[row, column] = f, weights * t, t
    return triangle, barycentric, depth


@pytest.mark.parametrize("cull_back", [False, True])
def test_agrees_with_cast_rays(cull_back: bool) -> None:
    rng = np.random.default_rng(3)
    vertices = rng.normal(size=(24, 3)) * [0.6, 0.5, 0.4] + [0, 0, 1.4]
    vertices[:3] = [[-0.4, -0.2, -0.3], [0.1, 0.3, 1.1], [0.3, -0.4, 0.9]]  # reaches behind the camera
    faces = np.array([rng.choice(24, 3, replace=False) for _ in range(13)] + [[0, 1, 2]])
    triangle, barycentric, depth = cast_rays(vertices, faces, cull_back)

    raster = rasterize_mesh(vertices, faces, K, WIDTH, HEIGHT, cull_back)

    assert (triangle == 13).any(), "the triangle behind the camera must show, or the test is blunt"
    np.testing.assert_array_equal(raster.triangle, triangle)
    np.testing.assert_allclose(raster.barycentric, barycentric, atol=2e-6)
    np.testing.assert_allclose(raster.depth, depth, rtol=2e-6)


def test_neighbours_leave_no_cracks_and_values_are_carried() -> None:
    """A tilted, finely divided plane covers every pixel, and a linear field on it comes back exactly."""
    steps = np.linspace(-3, 3, 61)
    x, y = np.meshgrid(steps, steps)
    vertices = np.stack([x, y, 2 + 0.3 * x - 0.2 * y], axis=-1).reshape(-1, 3)
    corner = (np.arange(60)[:, None] * 61 + np.arange(60)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, 61, 1], corner + [1, 61, 62]])

    raster = rasterize_mesh(vertices, faces, K, WIDTH, HEIGHT)

    assert raster.covered.all()
    seen = raster.interpolate(vertices, faces)
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    np.testing.assert_allclose(seen[..., 2], raster.depth, rtol=1e-5)
    projected = seen @ K.T
    np.testing.assert_allclose(projected[..., 0] / projected[..., 2], columns, atol=1e-3)
    np.testing.assert_allclose(projected[..., 1] / projected[..., 2], rows, atol=1e-3)
