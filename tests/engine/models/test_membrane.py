"""The membrane against what is known of harmonic functions."""

import numpy as np
import pytest

from engine.models.surface.membrane import Membrane

SIDE = 21


@pytest.fixture(scope="module")
def sheet():
    """A flat square of 20 cm in front of the mirror plane's right, [V, 3] and [F, 3]."""
    x, y = np.meshgrid(np.linspace(0.05, 0.25, SIDE), np.linspace(0, 0.2, SIDE))
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(SIDE * SIDE)], axis=1)
    corner = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).ravel()
    faces = np.concatenate([np.stack([corner, corner + 1, corner + SIDE], 1)] * 2)
    faces[len(corner) :] = np.stack([corner + 1, corner + SIDE + 1, corner + SIDE], 1)
    return vertices, faces


def middles(vertices, faces):
    """One sample in each triangle: triangle, barycentric, position."""
    return np.arange(len(faces)), np.full((len(faces), 3), 1 / 3), vertices[faces].mean(axis=1)


def test_between_two_edges_colours_pass_evenly(sheet):
    vertices, faces = sheet
    triangle, barycentric, place = middles(vertices, faces)
    left, right = place[:, 0] < 0.06, place[:, 0] > 0.24
    values = np.where(right, 1.0, 0.0)[:, None]
    found = Membrane(vertices, faces, np.ones(len(faces), bool)).fit(
        triangle, barycentric, values, (left | right).astype(float), 0.002
    )[:, 0]
    assert np.abs(found - np.clip((vertices[:, 0] - 0.055) / 0.19, 0, 1)).max() < 0.04


def test_where_all_is_known_only_what_is_finer_than_the_length_goes(sheet):
    vertices, faces = sheet
    triangle, barycentric, place = middles(vertices, faces)
    slope = place[:, :1]
    noise = np.random.default_rng(0).normal(0, 0.05, slope.shape)
    membrane = Membrane(vertices, faces, np.ones(len(faces), bool))
    inner = (np.abs(vertices[:, 0] - 0.15) < 0.06) & (np.abs(vertices[:, 1] - 0.1) < 0.06)
    known = np.ones(len(slope))
    fine, smooth = (membrane.fit(triangle, barycentric, slope + noise, known, each) for each in (1e-4, 0.03))
    off = [np.abs(found[inner, 0] - vertices[inner, 0]).std() for found in (fine, smooth)]
    assert off[1] < 0.3 * off[0] and off[1] < 0.01


def test_a_place_far_from_all_that_is_known_takes_after_its_mirror_image():
    # two squares left and right, not linked: only the right one is known
    x, y = np.meshgrid(np.linspace(0.05, 0.1, 6), np.linspace(0, 0.05, 6))
    right = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1)
    corner = (np.arange(5)[:, None] * 6 + np.arange(5)).ravel()
    one = np.stack([corner, corner + 1, corner + 6], 1)
    vertices, faces = np.concatenate([right, right * [-1, 1, 1]]), np.concatenate([one, one[:, ::-1] + 36])
    triangle, barycentric, place = middles(vertices, faces)
    known = (place[:, 0] > 0).astype(float)
    found = Membrane(vertices, faces, np.ones(len(faces), bool)).fit(
        triangle, barycentric, place[:, 1:2], known, 0.001
    )[:, 0]
    used = np.unique(faces[25:])
    assert np.corrcoef(found[used], found[used - 36])[0, 1] > 0.95
    assert np.abs(found[used] - found[used - 36]).mean() < 0.005


def test_samples_outside_the_part_say_nothing(sheet):
    vertices, faces = sheet
    triangle, barycentric, place = middles(vertices, faces)
    inside = place[:, 0] < 0.15
    values = np.where(inside, 0.2, 9.0)[:, None]
    found = Membrane(vertices, faces, inside).fit(triangle, barycentric, values, np.ones(len(values)), 0.01)[:, 0]
    part = np.unique(faces[inside])
    assert np.allclose(found[part], 0.2) and (np.delete(found, part) == 0).all()
