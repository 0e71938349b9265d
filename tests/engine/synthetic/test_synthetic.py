"""Synthetic heads: the same everywhere, and every truth agrees with the cameras and the head model."""

import hashlib
import multiprocessing
from dataclasses import fields

import numpy as np
import pytest
import torch

from engine.heads import load_head
from engine.heads.rig import make_rig
from engine.synthetic import HELD_OUT, SyntheticHeads, SyntheticSample, sample, stream
from engine.synthetic.files import cut_out

SEED, SIZE = 1003, 96


def digest(one: SyntheticSample) -> str:
    parts = (np.ascontiguousarray(getattr(one, field.name)).tobytes() for field in fields(SyntheticSample))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def elsewhere(seed: int) -> str:
    import numba

    numba.set_num_threads(1)
    torch.set_num_threads(1)
    return digest(sample(seed, 2, SIZE, False))


@pytest.fixture(scope="module")
def one() -> SyntheticSample:
    return sample(SEED, 2, SIZE, False)


@pytest.mark.slow
def test_same_bytes_in_another_process_with_other_threads(one):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(elsewhere, (SEED,)) == digest(one)


def test_views_do_not_depend_on_how_many_are_asked_for(one):
    first = sample(SEED, 1, SIZE, False)
    for name in ("rgb", "uv", "expression", "viewmats"):
        np.testing.assert_array_equal(getattr(first, name)[0], getattr(one, name)[0])


def test_pixels_see_what_the_truth_says(one):
    """The posed surface point of a pixel projects back to that pixel's centre."""
    for view in range(2):
        rows, columns = np.nonzero(one.covered[view])
        points = one.posed_positions[view][rows, columns].astype(np.float64)
        camera = points @ one.viewmats[view][:3, :3].T + one.viewmats[view][:3, 3]
        pixels = camera @ one.Ks[view].T
        pixels = pixels[:, :2] / pixels[:, 2:]
        np.testing.assert_allclose(pixels, np.stack([columns, rows], 1) + 0.5, atol=0.01)


def test_parameters_rebuild_the_mesh(one):
    """Identity, expression and rotations, given to the engine's own rig, pose the mesh that was drawn."""
    head = load_head()
    neutral = head.template + np.tensordot(one.identity, head.identity_basis, axes=1)
    np.testing.assert_allclose(one.neutral, neutral, atol=1e-6)
    rig = make_rig(head, neutral, one.joints)
    for view in range(2):
        expression, rotations = (torch.from_numpy(x[view]).float() for x in (one.expression, one.joint_rotations))
        np.testing.assert_allclose(one.vertices[view], rig.deform(expression, rotations), atol=2e-6)


def test_uv_and_positions_agree_with_the_triangles(one):
    head = load_head()
    seen = one.covered[0]
    triangle, weights = one.triangle[0][seen], one.barycentric[0][seen]
    for values, truth in (
        (head.uv[head.uv_faces], one.uv), (one.neutral[head.faces], one.rest_positions),
        (one.vertices[0][head.faces], one.posed_positions),
    ):  # fmt: skip
        np.testing.assert_allclose(np.einsum("nk,nkc->nc", weights, values[triangle]), truth[0][seen], atol=1e-6)
    assert (one.triangle[0][~seen] == -1).all() and not one.visible[0][~seen].any()


def test_landmarks_lie_where_the_surface_is_seen(one):
    """A visible landmark's pixel shows a surface point close to the landmark's own."""
    head = load_head()
    marks = np.einsum("lkc,lk->lc", one.neutral[head.faces[head.landmark_triangles]], head.landmark_barycentrics)
    inner = one.landmark_visible[0] & (head.landmark_weights > 0.5)
    column, row = one.landmarks[0][inner].astype(int).T
    found = one.covered[0][row, column]
    assert found.mean() > 0.97
    away = np.linalg.norm(one.rest_positions[0][row, column] - marks[inner], axis=1)[found]
    assert np.median(away) < 0.004


def test_alpha_covers_the_mesh_and_the_background_can_be_changed(one):
    assert (one.alpha[one.covered] > 0).all()
    assert 0.2 < one.alpha.mean() < 0.9
    outside = one.alpha == 0
    np.testing.assert_allclose(one.rgb[outside], np.broadcast_to(one.background, one.rgb.shape)[outside], atol=1e-6)
    picture = cut_out(one, 0)
    again = picture[..., :3] * picture[..., 3:] + (1 - picture[..., 3:]) * one.background
    np.testing.assert_allclose(again, one.rgb[0], atol=1e-5)


def test_one_instant_or_many():
    still = sample(SEED, 2, 32, True)
    np.testing.assert_array_equal(still.vertices[0], still.vertices[1])
    assert (still.viewmats[0] != still.viewmats[1]).any()
    moving = sample(SEED, 2, 32, False)
    assert np.abs(moving.vertices[0] - moving.vertices[1]).max() > 1e-3


@pytest.mark.slow
def test_stream_resumes_in_order_with_workers():
    heads = SyntheticHeads(views=1, size=32)
    batches = iter(stream(heads, batch=2, start=1, workers=2))
    seeds = [[one.seed for one in next(batches)] for _ in range(3)]
    first = HELD_OUT.stop
    assert seeds == [[first + 2, first + 3], [first + 4, first + 5], [first + 6, first + 7]]
    shared = [[one.seed for one in next(iter(stream(heads, 2, 1, 0, rank, 2)))] for rank in range(2)]
    assert shared == [[first + 4, first + 6], [first + 5, first + 7]]


@pytest.mark.slow
def test_people_differ():
    looks = [sample(seed, 1, 32, True) for seed in range(6)]
    for a, b in zip(looks[:-1], looks[1:], strict=True):
        assert np.abs(a.neutral - b.neutral).mean() > 1e-3
        assert np.abs(a.rgb - b.rgb).mean() > 0.02
