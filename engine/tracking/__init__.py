"""Tracking: photos to one identity, and a camera, pose and expression for each photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from engine.heads.parametric import ParametricHead
from engine.heads.rig import joint_chain
from engine.photos.crop import FACE_LANDMARKS
from engine.photos.openings import wide_open
from engine.photos.photo import CROP, Photo
from engine.progress import Progress
from engine.tracking import personal
from engine.tracking.pose import torso_view, upright_torso
from engine.tracking.solver import (
    EYES,
    LIPS,
    TO_CAMERA,
    Fit,
    LandmarkModel,
    Observation,
    landmark_model,
    pose_landmarks,
    project,
    solve,
)
from engine.tracking.tracked import Tracked, View

__all__ = ["Subject", "Tracked", "View", "distances", "drive_landmarks", "observation", "retrack", "subject", "track"]

PORTRAIT_FOCAL = 1.5  # × the photo's longer side: the prior where EXIF is silent
LEAST_FOCAL = 2.2  # × the head crop: a tight crop's longer side says nothing about the lens
SOURCE_SIGMA = 0.3  # expression weights around their ARKit scores, while identity is found
ROUNDS = 2  # of the person's own shape and of the expressions: each leaves the other something to explain
DRIVE_SIGMA = 0.2  # the same, for a known person


def _observe(photo: Photo, expressions: int, focal: float | None = None) -> Observation:
    guess = max(PORTRAIT_FOCAL * float(photo.size.max()), LEAST_FOCAL * CROP)
    center = photo.center.astype(np.float64)
    return observation(photo.landmarks, photo.scores, expressions, center, focal or photo.focal or guess)


def observation(
    landmarks: np.ndarray, scores: np.ndarray, expressions: int, center: np.ndarray, focal: float
) -> Observation:
    """What the solver takes of a face: its landmarks [478, 2 or 3] in pixels, and its 52 ARKit scores with 0 for the
    head model's other ``expressions``; center [2] and focal in the same pixels."""
    every = np.zeros(expressions)
    every[: len(scores)] = scores
    return Observation(wide_open(landmarks[:, :2].astype(np.float64)), every, center, focal)


def _view(
    name: str,
    head: ParametricHead,
    joints: np.ndarray,
    fit: Fit,
    seen: Observation,
    torso: np.ndarray,
    distance: np.ndarray,
) -> View:
    """A fit as a view; of its landmarks' distances [478], those of the face are its residual."""
    viewmat, rotations = torso_view(joint_chain(head), head.joint_parents, joints, fit.rotation, fit.translation, torso)
    K = np.array([[fit.focal, 0, seen.center[0]], [0, fit.focal, seen.center[1]], [0, 0, 1.0]])
    return View(name, viewmat, K, fit.expression, rotations, float(distance[:FACE_LANDMARKS].mean()))


def track(photos: Sequence[Photo], head: ParametricHead, progress: Progress) -> Tracked:
    """Fit one identity to all photos, and each photo's camera, pose and expression.

    Landmarks decide, ARKit scores are the prior of the expression, EXIF or a portrait lens that of the focal length.
    What remains of the landmarks' residuals becomes a smooth field on top of the identity, so that the person's own
    proportions are kept when the head is driven.
    """
    model = landmark_model(head)
    seen = [_observe(photo, len(head.expression_names)) for photo in photos]
    identity, fits = solve(model, seen, expression_sigma=SOURCE_SIGMA, fit_focal=True)
    progress.update(0.5)
    neutral = head.template + np.tensordot(identity, head.identity_basis, axes=1)
    for done in range(ROUNDS):
        shaped = landmark_model(head, neutral)
        offsets = personal.landmark_offsets(shaped, np.zeros(0), fits, seen)
        neutral = (neutral + personal.spread(head, neutral, shaped.positions, offsets)).astype(np.float32)
        _, fits = solve(landmark_model(head, neutral), seen, expression_sigma=DRIVE_SIGMA, fit_focal=False, start=fits)
        progress.update(0.5 + 0.4 * (done + 1) / ROUNDS)
    joints = (head.joint_regressor @ neutral).astype(np.float32)
    views, rows = [], []
    shaped = landmark_model(head, neutral)
    for photo, fit, s in zip(photos, fits, seen, strict=True):
        distance = distances(shaped, fit, s)
        views.append(_view(photo.name, head, joints, fit, s, upright_torso(fit.rotation), distance))
        yaw, pitch, _ = Rotation.from_matrix(TO_CAMERA @ fit.rotation).as_euler("YXZ", degrees=True)
        lips, eyes = float(distance[list(LIPS)].mean()), float(distance[list(EYES)].mean())
        rows.append((photo.name, views[-1].residual, lips, eyes, fit.focal, float(yaw), float(pitch)))
    return Tracked(identity, neutral, joints, tuple(views), tuple(rows))


def retrack(
    photos: Sequence[Photo], tracked: Tracked, head: ParametricHead, neutral: np.ndarray, joints: np.ndarray
) -> tuple[View, ...]:
    """The views of tracked photos for another neutral mesh of the person.

    Args:
        neutral: [V, 3] metres. joints: [J, 3] metres, its rest positions.
    """
    count, shaped = len(head.expression_names), landmark_model(head, neutral)
    seen = [_observe(photo, count, view.K[0, 0]) for photo, view in zip(photos, tracked.views, strict=True)]
    _, fits = solve(shaped, seen, expression_sigma=DRIVE_SIGMA, fit_focal=True)
    return tuple(
        _view(photo.name, head, joints, fit, s, upright_torso(fit.rotation), distances(shaped, fit, s))
        for photo, fit, s in zip(photos, fits, seen, strict=True)
    )


def distances(model: LandmarkModel, fit: Fit, seen: Observation) -> np.ndarray:
    """[478] pixels between where a known person's landmarks are under a fit and where they are seen."""
    points = pose_landmarks(model, np.zeros(model.identity_basis.shape[-1]), fit.expression)
    return np.linalg.norm(project(points, fit, seen.center) - seen.landmarks, axis=1)


@dataclass(frozen=True)
class Subject:
    """A known person, ready to be driven by photos or frames of themselves.

    Attributes:
        head: the head model. landmarks: its landmarks on this person. joints: [J, 3] rest positions.
        source: the view that the torso's rest pose is taken from. focal: px per px of the photo's longer side.
    """

    head: ParametricHead
    landmarks: LandmarkModel
    joints: np.ndarray
    source: View
    focal: float


def subject(tracked: Tracked, head: ParametricHead, photos: Sequence[Photo]) -> Subject:
    """The person of a finished tracking, for :func:`drive_landmarks`."""
    relative = [view.K[0, 0] / float(photo.size.max()) for view, photo in zip(tracked.views, photos, strict=True)]
    return Subject(
        head, landmark_model(head, tracked.neutral), tracked.joints, tracked.views[0], float(np.median(relative))
    )


def drive_landmarks(person: Subject, photo: Photo) -> View:
    """Pose and expression of a known person in another photo of the same camera, by landmarks alone (10 ms)."""
    seen = _observe(photo, len(person.head.expression_names), person.focal * float(photo.size.max()))
    _, (fit,) = solve(person.landmarks, [seen], expression_sigma=DRIVE_SIGMA, fit_focal=False)
    # the camera of a clip stands still: the torso keeps the source's rotation
    torso = person.source.viewmat[:3, :3]
    return _view(photo.name, person.head, person.joints, fit, seen, torso, distances(person.landmarks, fit, seen))
