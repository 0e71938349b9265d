"""Tracking: from landmarks made by a known head back to that head, and on real photos."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from engine import assets
from engine.heads import load_head
from engine.heads.rig import make_rig
from engine.photos import load_photos
from engine.progress import Progress
from engine.tracking import drive_landmarks, subject, track
from engine.tracking.posing import FreeView
from engine.tracking.solver import TO_CAMERA, Fit, LandmarkModel, Observation, landmark_model, project, solve


@pytest.fixture(scope="module")
def head():
    return load_head()


@pytest.fixture(scope="module")
def pair():
    return load_photos([assets.path(f"samples/person_a_{i}.jpg") for i in (1, 2)], Progress()).photos


def test_a_known_face_is_found_again(head):
    """Landmarks projected from a random person in three poses give that person's shape, pose and expression back."""
    rng = np.random.default_rng(5)
    model = landmark_model(head)
    identity = rng.normal(0, 0.7, len(head.identity_basis))
    seen, truth = [], []
    for yaw in (-15, 0, 20):
        expression = np.zeros(len(head.expression_names))
        expression[rng.choice(50, 4, replace=False)] = rng.uniform(0.2, 0.6, 4)
        rotation = TO_CAMERA @ Rotation.from_euler("yx", [yaw, 5], degrees=True).as_matrix()
        fit = Fit(rotation, np.array([0.01, 0.02, 0.7]), expression, 1200.0)
        points = model.positions + model.identity_basis @ identity + model.expression_basis @ expression
        center = np.array([384.0, 384.0])
        truth.append((fit, points))
        seen.append(Observation(project(points, fit, center), expression, center, 1200.0))
    found, fits = solve(model, seen, expression_sigma=0.3, fit_focal=False)
    for fit, (true, points), s in zip(fits, truth, seen, strict=True):
        shape = model.positions + model.identity_basis @ found + model.expression_basis @ fit.expression
        assert np.linalg.norm(project(shape, fit, s.center) - s.landmarks, axis=1).mean() < 0.4
        turn = Rotation.from_matrix(fit.rotation.T @ true.rotation).magnitude()
        assert np.degrees(turn) < 1.5
        a, b = shape - shape.mean(axis=0), points - points.mean(axis=0)
        assert np.linalg.norm(a - b, axis=1).mean() < 2e-3


def test_the_solution_is_a_minimum_of_the_plain_objective(head):
    """No small step of pose or expression lowers the robust cost, computed independently in a plain loop."""
    rng = np.random.default_rng(1)
    neutral = head.template
    model = landmark_model(head, neutral)
    clean = Fit(TO_CAMERA @ np.eye(3), np.array([0, 0, 0.6]), np.full(52, 0.1), 1100.0)
    points = model.positions + model.expression_basis @ clean.expression
    center = np.array([384.0, 384.0])
    seen = Observation(project(points, clean, center) + rng.normal(0, 1.5, (478, 2)), np.full(52, 0.1), center, 1100.0)
    _, (fit,) = solve(model, [seen], expression_sigma=0.2, fit_focal=False)

    def cost(f: Fit) -> float:
        total = 0.0
        pixels = project(model.positions + model.expression_basis @ f.expression, f, center)
        for pixel, mark, weight in zip(pixels, seen.landmarks, model.weights, strict=True):
            distance = ((pixel - mark) ** 2).sum()
            total += weight / 9.0 * 81.0 / 2 * np.log1p(distance / 81.0)
        return total + ((f.expression - 0.1) ** 2).sum() / 0.2**2 / 2

    best = cost(fit)
    for axis in np.eye(3):
        for sign in (-1, 1):
            turned = Rotation.from_rotvec(sign * 1e-3 * axis).as_matrix() @ fit.rotation
            assert cost(dataclasses.replace(fit, rotation=turned)) > best
            assert cost(dataclasses.replace(fit, translation=fit.translation + sign * 5e-4 * axis)) > best
    for k in range(52):
        for sign in (-1, 1):
            moved = fit.expression.copy()
            moved[k] = np.clip(moved[k] + sign * 0.05, 0, 1)
            assert cost(dataclasses.replace(fit, expression=moved)) >= best - 1e-6


@pytest.mark.slow
def test_real_photos_fit_within_two_pixels(head, pair):
    tracked = track(pair, head, Progress())
    for name, mean, lips, eyes, _focal, yaw, _pitch in tracked.residuals:
        assert mean < 2.0 and lips < 2.0 and eyes < 2.0, name
        assert abs(yaw) < 20
    assert np.abs(tracked.identity).max() < 4


@pytest.mark.slow
def test_a_view_survives_being_made_free(head, pair):
    """A view split into head pose and joints and put together again is the same view."""
    tracked = track(pair[:1], head, Progress())
    rig = make_rig(head, tracked.neutral, tracked.joints)
    view = tracked.views[0]
    again = FreeView.of(view, rig).fixed(rig, view.residual)
    assert np.allclose(again.viewmat, view.viewmat, atol=1e-4)
    turned = FreeView.of(view, rig)
    before = _head_in_camera(rig, turned)
    turned.joint_rotations = turned.joint_rotations + 0.2
    assert torch.allclose(_head_in_camera(rig, turned), before, atol=1e-4)  # the torso moves, the head does not


def _head_in_camera(rig, free):
    vertices, viewmat = free.place(rig)
    only_head = rig.skin_weights[:, rig.chain[-1] + 1] > 0.999
    return vertices[only_head] @ viewmat[:3, :3].T + viewmat[:3, 3]


@pytest.mark.slow
def test_the_other_photo_of_a_person_is_driven_by_landmarks(head, pair):
    tracked = track(pair[:1], head, Progress())
    driven = drive_landmarks(subject(tracked, head, pair[:1]), pair[1])
    assert driven.residual < 4.0
    assert isinstance(landmark_model(head, tracked.neutral), LandmarkModel)
