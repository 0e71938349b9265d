"""Binding against a plain float64 loop, under rigid motion and scaling, without area; gradients; closest triangles."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings, strategies as st
from scipy.spatial.transform import Rotation
from torch.nn import functional

from engine.gaussians.binding import STRETCH, bind, nearest_triangles, pose, triangle_frames
from engine.gaussians.gaussians import BoundGaussians, Splats
from engine.gaussians.rotations import matrix_to_quat, quat_multiply, rotvec_to_matrix
from tests.engine.rotations import quat_to_matrix


@pytest.fixture(scope="module")
def mesh() -> tuple[torch.Tensor, torch.Tensor]:
    sphere = trimesh.creation.icosphere(2, 0.1)
    rng = np.random.default_rng(0)
    bumpy = sphere.vertices * rng.uniform(0.8, 1.2, (len(sphere.vertices), 1))
    return torch.from_numpy(bumpy), torch.from_numpy(sphere.faces)


def random_splats(count: int, seed: int) -> Splats:
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    quats = functional.normalize(rand(count, 4) - 0.5, dim=1)
    return Splats(rand(count, 3) * 0.4 - 0.2, quats, rand(count, 3) * 0.01 + 1e-4, rand(count), rand(count, 3))


def bound_to(mesh: tuple[torch.Tensor, torch.Tensor], splats: Splats) -> BoundGaussians:
    triangles, barycentrics = nearest_triangles(splats.means, *mesh)
    parts = torch.zeros(len(triangles), dtype=torch.uint8)
    return bind(*vars(splats).values(), parts, *mesh, triangles, barycentrics)


def pose_one_by_one(bound: BoundGaussians, vertices: np.ndarray, faces: np.ndarray, rest: np.ndarray) -> list[tuple]:
    """The definition in BoundGaussians' docstring, written out with numpy and scipy."""
    posed = []
    for n in range(len(bound)):
        p0, p1, p2 = vertices[faces[bound.triangles[n]]]
        r0, r1, r2 = rest[faces[bound.triangles[n]]]
        z = np.cross(p1 - p0, p2 - p0)
        area, rest_area = np.linalg.norm(z) / 2, np.linalg.norm(np.cross(r1 - r0, r2 - r0)) / 2
        x, z = (p1 - p0) / np.linalg.norm(p1 - p0), z / np.linalg.norm(z)
        frame = np.stack((x, np.cross(z, x), z), axis=1)
        stretch = min(max(np.sqrt(area / rest_area), STRETCH[0]), STRETCH[1])
        mean = bound.barycentrics[n].numpy() @ (p0, p1, p2) + stretch * frame @ bound.offsets[n].numpy()
        turn = frame @ Rotation.from_quat(bound.quats[n].numpy(), scalar_first=True).as_matrix()
        posed.append((mean, turn, stretch * bound.scales[n].numpy()))
    return posed


@pytest.mark.slow
def test_posing_at_rest_gives_back_what_was_bound(mesh):
    splats = random_splats(500, seed=1)
    posed = pose(bound_to(mesh, splats), *mesh, triangle_frames(*mesh)[1])
    torch.testing.assert_close(posed.means, splats.means)
    torch.testing.assert_close(quat_to_matrix(posed.quats), quat_to_matrix(splats.quats))
    torch.testing.assert_close(posed.scales, splats.scales)


def test_posing_equals_the_definition_on_a_deformed_mesh(mesh):
    vertices, faces = mesh
    bound = bound_to(mesh, random_splats(200, seed=2))
    deformed = vertices * torch.tensor((1.4, 0.4, 5.0)) + 0.02 * torch.sin(60 * vertices.flip(1))
    rest_areas = triangle_frames(*mesh)[1]
    posed = pose(bound, deformed, faces, rest_areas)
    expected = pose_one_by_one(bound, deformed.numpy(), faces.numpy(), vertices.numpy())
    np.testing.assert_allclose(posed.means, [row[0] for row in expected], atol=1e-12)
    np.testing.assert_allclose(quat_to_matrix(posed.quats), [row[1] for row in expected], atol=1e-10)
    np.testing.assert_allclose(posed.scales, [row[2] for row in expected], rtol=1e-10)
    ratios = posed.scales / bound.scales
    assert ratios.max() == pytest.approx(STRETCH[1]), "the test reaches the upper clamp"
    single = pose(
        BoundGaussians(*(v.float() if v.is_floating_point() else v for v in vars(bound).values())),
        deformed.float(), faces, rest_areas.float(),
    )  # fmt: skip
    assert (single.means - posed.means).abs().max() < 3e-6  # float32 keeps micrometres


@settings(max_examples=25, deadline=None)
@given(
    rotvec=st.tuples(*[st.floats(-6, 6)] * 3),
    shift=st.tuples(*[st.floats(-5, 5)] * 3),
    factor=st.sampled_from((1.0, 1.5, 0.7)),
)
def test_similar_meshes_carry_splats_along(mesh, rotvec, shift, factor):
    vertices, faces = mesh
    splats = random_splats(50, seed=3)
    turn = torch.from_numpy(Rotation.from_rotvec(rotvec).as_matrix())
    moved = factor * vertices @ turn.T + torch.tensor(shift, dtype=torch.float64)
    posed = pose(bound_to(mesh, splats), moved, faces, triangle_frames(*mesh)[1])
    torch.testing.assert_close(posed.means, factor * splats.means @ turn.T + torch.tensor(shift, dtype=torch.float64))
    torch.testing.assert_close(quat_to_matrix(posed.quats), turn @ quat_to_matrix(splats.quats))
    torch.testing.assert_close(posed.scales, factor * splats.scales)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_triangles_without_area_keep_proper_frames_and_finite_gradients(dtype):
    vertices = torch.tensor(
        [[0, 0, 0], [0.01, 0, 0], [0, 0.01, 0], [0.02, 0, 0], [0.01, 1e-12, 0]], dtype=dtype, requires_grad=True
    )
    faces = torch.tensor([[0, 1, 2], [0, 0, 0], [0, 0, 1], [0, 1, 3], [0, 3, 4], [1, 2, 1]])
    rotations, areas = triangle_frames(vertices, faces)
    assert areas[1:].tolist() == [0.0] * 5
    identity = torch.eye(3, dtype=dtype).expand(len(faces), 3, 3)
    torch.testing.assert_close(rotations @ rotations.mT, identity, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(len(faces), dtype=dtype))
    splats = random_splats(len(faces), seed=4)
    bound = BoundGaussians(
        torch.arange(len(faces)), torch.full((len(faces), 3), 1 / 3, dtype=dtype), splats.means.to(dtype),
        splats.quats.to(dtype), splats.scales.to(dtype), splats.opacities, splats.colors, torch.zeros(len(faces)),
    )  # fmt: skip
    for rest_areas in (torch.full((len(faces),), 5e-5, dtype=dtype), areas.detach()):
        posed = pose(bound, vertices, faces, rest_areas)
        (gradient,) = torch.autograd.grad(sum(v.square().sum() for v in vars(posed).values()), vertices)
        assert torch.isfinite(gradient).all()
        assert all(torch.isfinite(value).all() for value in vars(posed).values())


def test_gradients_of_posing_are_those_of_finite_differences(mesh):
    vertices, faces = mesh
    bound = bound_to(mesh, random_splats(4, seed=5))
    faces = faces[bound.triangles]
    bound = dataclasses.replace(bound, triangles=torch.arange(4))
    rest_areas = triangle_frames(vertices, faces)[1]
    used, corners = faces.unique(return_inverse=True)

    def carry(moved, barycentrics, offsets, quats, scales):
        changed = dataclasses.replace(
            bound, barycentrics=barycentrics, offsets=offsets, quats=quats, scales=scales
        )  # fmt: skip
        posed = pose(changed, moved, corners, rest_areas)
        return posed.means, posed.quats, posed.scales

    inputs = (vertices[used] * 1.2, bound.barycentrics, bound.offsets, bound.quats, bound.scales)
    assert torch.autograd.gradcheck(carry, [value.clone().requires_grad_() for value in inputs])


def test_closest_triangles_agree_with_trimesh_on_every_triangle(mesh):
    vertices, faces = mesh
    points = random_splats(60, seed=6).means
    points[:5] = vertices[:5]  # exactly on a corner
    slivers = torch.cat((faces, torch.tensor([[0, 0, 5], [7, 7, 7]])))
    for candidates in (None, torch.arange(40, 90)):
        triangles, barycentrics = nearest_triangles(points, vertices, slivers, candidates)
        chosen = slivers if candidates is None else slivers[candidates]
        if candidates is not None:
            assert np.isin(triangles, candidates).all()
        found = (barycentrics[:, :, None] * vertices[slivers[triangles]]).sum(1)
        solid = chosen[triangle_frames(vertices, chosen)[1] > 0]
        for point, place in zip(points, found, strict=True):
            all_places = trimesh.triangles.closest_point(vertices[solid].numpy(), point.expand(len(solid), 3).numpy())
            best = np.linalg.norm(all_places - point.numpy(), axis=1).min()
            assert torch.linalg.norm(place - point).item() == pytest.approx(best, abs=1e-12)
        assert barycentrics.min() >= 0
        torch.testing.assert_close(barycentrics.sum(1), torch.ones(60, dtype=torch.float64))


@pytest.mark.parametrize("third", [-0.7, 0.0, 0.3, 1.0, 1.7])
def test_a_triangle_without_area_is_as_near_as_its_longest_edge(third):
    start, end = torch.tensor([[0.1, 0.2, -0.1], [0.3, -0.1, 0.2]], dtype=torch.float64)
    vertices = torch.stack((start, end, start + third * (end - start)))
    points = random_splats(40, seed=7).means
    _, barycentrics = nearest_triangles(points, vertices, torch.tensor([[0, 1, 2]]))
    along = ((points - start) @ (end - start) / (end - start).square().sum()).clamp(min(0.0, third), max(1.0, third))
    torch.testing.assert_close(barycentrics @ vertices, start + along[:, None] * (end - start), atol=1e-12, rtol=0)


@given(rotvecs=st.lists(st.tuples(*[st.floats(-np.pi, np.pi)] * 3), min_size=2, max_size=2))
def test_rotations_agree_with_scipy(rotvecs):
    expected = Rotation.from_rotvec(rotvecs)
    matrices = rotvec_to_matrix(torch.tensor(rotvecs, dtype=torch.float64))
    np.testing.assert_allclose(matrices, expected.as_matrix(), atol=1e-12)
    quats = matrix_to_quat(matrices)
    np.testing.assert_allclose(quat_to_matrix(quats), expected.as_matrix(), atol=1e-12)
    product = quat_to_matrix(quat_multiply(quats[0], quats[1]))
    np.testing.assert_allclose(product, (expected[0] * expected[1]).as_matrix(), atol=1e-12)


def test_rotation_gradients_at_and_near_no_turn_and_half_turns():
    special = [[0, 0, 0], [1e-9, 0, 0], [0.0316, 0, 0], [0.0317, 0, 0], [np.pi, 0, 0], [0, -np.pi, 0], [0, 2, 2]]
    rotvecs = torch.tensor(special, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotvec_to_matrix, rotvecs)
    assert torch.autograd.gradcheck(lambda r: matrix_to_quat(rotvec_to_matrix(r)), rotvecs)
