"""The UV map of a head and its atlas, on a made-up head and on the default one where its data are there."""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings, strategies as st
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay

from engine.errors import AssetError, HeadModelError
from engine.heads.atlas import (
    gather,
    make_atlas,
    position_map,
    region_masks,
    texel_neighbours,
    texels_for_count,
)
from engine.heads.unwrap import unwrap


@dataclass(frozen=True)
class Unwrapped:
    vertices: np.ndarray
    faces: np.ndarray
    regions: dict[str, np.ndarray]
    uv: np.ndarray
    uv_faces: np.ndarray


def made_up_head() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """An ellipsoid with a nose, open at the neck, a patch inside the mouth, and two eyeballs sunk into it."""
    skin = trimesh.creation.icosphere(subdivisions=4)
    points = skin.vertices * [0.075, 0.11, 0.095]
    points[:, 2] += 0.03 * np.exp(-((points[:, :2] - [0, -0.01]) ** 2).sum(axis=1) / 2e-4) * (points[:, 2] > 0)
    kept = skin.faces[(points[skin.faces][:, :, 1] > -0.09).all(axis=1)]
    used, kept = np.unique(kept, return_inverse=True)
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.013)
    vertices, faces = [points[used]], [kept.reshape(-1, 3)]
    for side in (-1, 1):
        faces.append(ball.faces + sum(map(len, vertices)))
        vertices.append(ball.vertices + [0.03 * side, 0.025, 0.076])
    vertices, faces = np.concatenate(vertices), np.concatenate(faces)
    is_skin = np.arange(len(vertices)) < len(used)
    mouth = np.linalg.norm(vertices - [0, -0.045, 0.085], axis=1) < 0.022
    face = is_skin & ~mouth & (vertices[:, 2] > 0.035) & (vertices[:, 1] > -0.08)
    return vertices, faces, {"face": face, "eyes": ~is_skin, "mouth_interior": mouth & is_skin}


@pytest.fixture(scope="session")
def made_up() -> Unwrapped:
    vertices, faces, regions = made_up_head()
    return Unwrapped(vertices, faces, regions, *unwrap(vertices, faces, regions))


@pytest.fixture(scope="session", params=["made up", "makehuman"])
def head(request: pytest.FixtureRequest) -> Unwrapped:
    if request.param == "made up":
        return request.getfixturevalue("made_up")
    from engine.heads import load_head

    try:
        model = load_head()
    except AssetError as error:
        pytest.skip(str(error))
    return Unwrapped(model.template, model.faces, model.regions, model.uv, model.uv_faces)


def connected(faces: np.ndarray) -> np.ndarray:
    """[F] connected component of every face."""
    links = (np.ones(faces.size), (faces.ravel(), np.roll(faces, 1, axis=1).ravel()))
    graph = sparse.coo_matrix(links, (faces.max() + 1,) * 2)
    return connected_components(graph, directed=False)[1][faces[:, 0]]


def front(head: Unwrapped) -> np.ndarray:
    """[F] bool: the face on the main island, which leaves out eye sockets that a model counts to the face."""
    face, island = head.regions["face"][head.faces].all(axis=1), connected(head.uv_faces)
    return face & (island == np.argmax(np.bincount(island[face])))


def covered_cells(uv: np.ndarray, faces: np.ndarray, resolution: int) -> np.ndarray:
    """[R, R] how many triangles cover each texel's centre: every triangle against every centre in its box."""
    count = np.zeros((resolution, resolution), int)
    for a, b, c in (uv * [resolution, -resolution] + [0, resolution])[faces]:
        low = np.floor(np.min([a, b, c], axis=0)).astype(int).clip(0)
        high = np.ceil(np.max([a, b, c], axis=0)).astype(int).clip(0, resolution)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)

        def side(p: np.ndarray, q: np.ndarray, x: np.ndarray = x, y: np.ndarray = y) -> np.ndarray:
            return (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])

        edges = np.stack([side(a, b), side(b, c), side(c, a)])
        tolerance = 1e-4  # of a texel²: a centre on a shared edge is no overlap
        count[low[1] : high[1], low[0] : high[0]] += (edges > tolerance).all(0) | (edges < -tolerance).all(0)
    return count


@pytest.mark.slow
def test_head_is_laid_out_once_and_upright(head: Unwrapped) -> None:
    a, b, c = head.uv.astype(np.float64)[head.uv_faces].transpose(1, 0, 2)
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2

    assert head.uv.min() > 0 and head.uv.max() < 1
    assert (area > 0).all(), "flipped triangles"
    assert covered_cells(head.uv, head.uv_faces, 700).max() == 1, "overlapping triangles"
    # Every UV point belongs to one vertex.
    pairs = np.unique(np.stack([head.uv_faces.ravel(), head.faces.ravel()], axis=1), axis=0)
    np.testing.assert_array_equal(pairs[:, 0], np.arange(len(head.uv)))
    face = front(head)
    assert area[face].sum() / area.sum() >= 0.4
    middles = (a + b + c)[face] / 3
    for axis in (0, 1):
        points = head.vertices[head.faces[face]].mean(axis=1)
        assert np.corrcoef(middles[:, axis], points[:, axis])[0, 1] > 0.9


@pytest.mark.slow
def test_shapes_are_kept(head: Unwrapped) -> None:
    """Singular values of every triangle's map from the mesh to UV; their ratio is the distortion of its angles."""
    face = front(head)
    space = np.diff(head.vertices.astype(np.float64)[head.faces[face]], axis=1).transpose(0, 2, 1)
    plane = np.diff(head.uv.astype(np.float64)[head.uv_faces[face]], axis=1).transpose(0, 2, 1)
    stretch = np.linalg.svd(plane @ np.linalg.pinv(space), compute_uv=False)
    area = np.linalg.norm(np.cross(space[..., 0], space[..., 1]), axis=1)
    order = np.argsort(stretch[:, 0] / stretch[:, 1])
    median = order[np.searchsorted(np.cumsum(area[order]), area.sum() / 2)]
    assert stretch[median, 0] / stretch[median, 1] < 2.0
    density = np.sqrt(stretch.prod(axis=1))
    assert np.percentile(density, 95) / np.percentile(density, 5) < 2.5


@pytest.mark.slow
def test_islands_keep_two_texels_of_512_apart(head: Unwrapped) -> None:
    island = connected(head.uv_faces)
    atlas = make_atlas(head.uv, head.uv_faces, 512)
    where = np.where(atlas.mask, island[atlas.triangle], -1)
    for k in range(island.max() + 1):
        other = (where >= 0) & (where != k)
        distance = ndimage.distance_transform_cdt(~other, metric="chessboard")
        assert distance[where == k].min() > 2
    assert not atlas.mask[[0, -1]].any() and not atlas.mask[:, [0, -1]].any()


@pytest.mark.slow
def test_unwrapping_is_deterministic(made_up: Unwrapped) -> None:
    uv, uv_faces = unwrap(made_up.vertices, made_up.faces, made_up.regions)
    np.testing.assert_array_equal(uv, made_up.uv)
    np.testing.assert_array_equal(uv_faces, made_up.uv_faces)


def test_says_what_it_cannot_lay_flat() -> None:
    vertices, faces, regions = made_up_head()
    with pytest.raises(HeadModelError, match="no face region"):
        unwrap(vertices, faces, regions | {"face": np.zeros(len(vertices), bool)})
    closed = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    with pytest.raises(HeadModelError, match="closed all round"):
        unwrap(closed.vertices, closed.faces, {"face": closed.vertices[:, 2] > 0.05})
    ring = trimesh.creation.torus(0.02, 0.008)
    joined = {name: np.r_[member, np.zeros(len(ring.vertices), bool)] for name, member in regions.items()}
    with_handle = np.concatenate([faces, ring.faces[3:] + len(vertices)])  # a torus with a window
    with pytest.raises(HeadModelError, match="cannot be laid flat"):
        unwrap(np.concatenate([vertices, ring.vertices]), with_handle, joined)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_texels_agree_with_every_centre_in_every_triangle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    uv, resolution = rng.random((17, 2)), 19
    faces = Delaunay(uv).simplices
    centres = (np.indices((resolution, resolution)).reshape(2, -1)[::-1] + 0.5) / resolution
    points = np.stack([centres[0], 1 - centres[1], np.ones(resolution**2)])
    expected, owner = np.zeros((resolution**2, 3)), np.full(resolution**2, -1)
    for f, face in enumerate(faces):
        weights = np.linalg.solve(np.c_[uv[face], np.ones(3)].T, points).T
        inside = (weights >= 0).all(axis=1)
        owner[inside], expected[inside] = f, weights[inside]

    atlas = make_atlas(uv, faces, resolution)

    np.testing.assert_array_equal(atlas.triangle.ravel(), owner)
    np.testing.assert_array_equal(atlas.mask, atlas.triangle >= 0)
    np.testing.assert_allclose(atlas.barycentric.reshape(-1, 3), expected, atol=1e-5)


def test_positions_lie_on_the_surface_and_count_is_met(head: Unwrapped) -> None:
    resolution = texels_for_count(head.uv, head.uv_faces, 20_000)
    atlas = make_atlas(head.uv, head.uv_faces, resolution)
    assert abs(atlas.mask.sum() - 20_000) < 300
    positions = position_map(atlas, head.faces, torch.from_numpy(head.vertices)).numpy()
    assert (positions[~atlas.mask] == 0).all()
    squared, triangle, _ = igl.point_mesh_squared_distance(
        positions[atlas.mask].astype(np.float64), head.vertices.astype(np.float64), head.faces.astype(np.int64)
    )
    assert squared.max() < 1e-14
    assert (triangle == atlas.triangle[atlas.mask]).mean() > 0.99  # the rest lie on an edge

    masks = region_masks(atlas, head.faces, head.regions)
    inside = head.regions["face"][head.faces].sum(axis=1)[atlas.triangle]
    assert masks["face"][atlas.mask & (inside == 3)].all() and not masks["face"][~atlas.mask | (inside == 0)].any()


def test_linear_fields_arrive_at_the_texels(head: Unwrapped) -> None:
    atlas = make_atlas(head.uv, head.uv_faces, 512)
    vertices = torch.from_numpy(head.vertices).double()
    slope, shift = torch.tensor([[2.0, -1.0], [0.5, 3.0], [-1.0, 1.0]]).double(), 7.0
    texels = gather(atlas, head.faces, vertices @ slope + shift)
    valid = torch.from_numpy(atlas.mask)
    expected = position_map(atlas, head.faces, vertices) @ slope + shift
    torch.testing.assert_close(texels[valid], expected[valid], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_neighbours_join_islands_over_seams_but_never_two_pieces(head: Unwrapped) -> None:
    atlas = make_atlas(head.uv, head.uv_faces, 400)
    positions = position_map(atlas, head.faces, torch.from_numpy(head.vertices)).numpy()
    pairs = texel_neighbours(atlas, head.faces, positions)

    texels = int(atlas.mask.sum())
    assert (pairs[:, 0] < pairs[:, 1]).all() and pairs.min() >= 0 and pairs.max() < texels
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    piece = connected(head.faces)[atlas.triangle[atlas.mask]]
    pieces = len(np.unique(piece))
    assert (piece[pairs[:, 0]] == piece[pairs[:, 1]]).all()
    graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), (texels,) * 2)
    sizes = np.bincount(connected_components(graph, directed=False)[1])
    assert (sizes > 20).sum() == pieces, "islands of one piece are not joined"
    assert sizes[sizes <= 20].sum() < 0.002 * texels
    island = connected(head.uv_faces)[atlas.triangle[atlas.mask]]
    cell = np.argwhere(atlas.mask)
    far = np.abs(cell[pairs[:, 0]] - cell[pairs[:, 1]]).max(axis=1) > 20
    assert (far & (island[pairs[:, 0]] == island[pairs[:, 1]])).sum() > 50, "the cut over the back is not bridged"
    points = positions[atlas.mask]
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    assert length.max() < 0.03 and np.median(length) < 0.002
