"""Robust Gauss-Newton over all photos at once: one identity, one focal scale; pose and expression per photo.

Normal equations in closed form beat a generic optimiser here (scipy's least_squares was tried on the same problem): the
model is linear in identity and expression once the pose is known, and 12 steps of a few hundred unknowns take
milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from engine.heads.landmarks import EYE_RIMS
from engine.heads.parametric import ParametricHead
from engine.photos.crop import FACE_LANDMARKS

STEPS = 14
NOISE = 3.0  # px, one landmark's standard deviation in the window
OUTLIER = 3.0  # Cauchy scale in units of NOISE
FOCAL_SIGMA = 0.3  # of log focal length
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409, 78, 95, 88, 178, 87,
        14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415)  # fmt: skip
EYES = tuple(landmark for rim in EYE_RIMS.values() for landmark in rim)
IRISES = tuple(range(468, 478))
SPEAKING = 2.0  # weight of lips, lids and irises: the first thing a person sees
TO_CAMERA = np.diag([1.0, -1.0, -1.0])  # engine axes to OpenCV camera axes


@dataclass(frozen=True)
class LandmarkModel:
    """The 478 landmarks as a linear model in the head's rest frame.

    Attributes:
        positions: [478, 3]. identity_basis: [478, 3, I] (I may be 0). expression_basis: [478, 3, E]. weights: [478].
    """

    positions: np.ndarray
    identity_basis: np.ndarray
    expression_basis: np.ndarray
    weights: np.ndarray


def landmark_model(head: ParametricHead, neutral: np.ndarray | None = None) -> LandmarkModel:
    """Landmarks of a head model; with ``neutral`` [V, 3] the identity is that person's and no longer free."""
    corners = head.faces[head.landmark_triangles]
    bary = head.landmark_barycentrics.astype(np.float64)

    def embed(attribute: np.ndarray) -> np.ndarray:
        return np.einsum("...lkc,lk->...lc", attribute[..., corners, :].astype(np.float64), bary)

    basis = head.identity_basis if neutral is None else head.identity_basis[:0]
    weights = head.landmark_weights.astype(np.float64).copy()
    weights[[*LIPS, *EYES, *IRISES]] *= SPEAKING
    return LandmarkModel(
        embed(head.template if neutral is None else neutral),
        np.moveaxis(embed(basis), 0, -1),
        np.moveaxis(embed(head.expression_basis), 0, -1),
        weights,
    )


@dataclass(frozen=True)
class Observation:
    """One photo's landmarks [478, 2] px, ARKit scores [E], principal point [2] px, prior focal length px."""

    landmarks: np.ndarray
    scores: np.ndarray
    center: np.ndarray
    focal: float


@dataclass(frozen=True)
class Fit:
    """The state of one photo: head rotation [3, 3] and translation [3] into the camera, expression [E], focal px."""

    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray
    focal: float


def project(points: np.ndarray, fit: Fit, center: np.ndarray) -> np.ndarray:
    """[L, 3] head-frame points to [L, 2] pixels."""
    camera = points @ fit.rotation.T + fit.translation
    return fit.focal * camera[:, :2] / camera[:, 2:] + center


def pose_landmarks(model: LandmarkModel, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """[478, 3] landmark positions in the head's rest frame."""
    return model.positions + model.identity_basis @ identity + model.expression_basis @ expression


def _initial(model: LandmarkModel, seen: Observation) -> Fit:
    """Perspective-n-point on the template (OpenCV's SQPnP)."""
    matrix = np.array([[seen.focal, 0, seen.center[0]], [0, seen.focal, seen.center[1]], [0, 0, 1.0]])
    points = np.ascontiguousarray(model.positions[:FACE_LANDMARKS] @ TO_CAMERA.T)
    pixels = np.ascontiguousarray(seen.landmarks[:FACE_LANDMARKS], dtype=np.float64)
    _, turn, shift = cv2.solvePnP(points, pixels, matrix, None, flags=cv2.SOLVEPNP_SQPNP)
    return Fit(Rotation.from_rotvec(turn[:, 0]).as_matrix() @ TO_CAMERA, shift[:, 0], seen.scores.copy(), seen.focal)


def _cross_matrices(v: np.ndarray) -> np.ndarray:
    out = np.zeros((len(v), 3, 3))
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    return out - out.transpose(0, 2, 1)


def solve(
    model: LandmarkModel,
    seen: Sequence[Observation],
    *,
    expression_sigma: float,
    fit_focal: bool,
    start: Sequence[Fit] | None = None,
    steps: int | None = None,
) -> tuple[np.ndarray, list[Fit]]:
    """Fit all photos at once.

    Args:
        expression_sigma: standard deviation of expression weights around the photo's ARKit scores.
        fit_focal: whether one factor on all focal lengths is free (with a log-normal prior).
        start: states to start from; by default each photo's PnP. steps: at most; :data:`STEPS` by default.

    Returns:
        identity [I] in standard deviations, one :class:`Fit` per photo.
    """
    count_i, count_e = model.identity_basis.shape[-1], model.expression_basis.shape[-1]
    block = count_e + 6
    size = count_i + 1 + len(seen) * block
    identity, log_scale = np.zeros(count_i), 0.0
    fits = list(start) if start else [_initial(model, s) for s in seen]
    for _ in range(steps or STEPS):
        normal, gradient = np.zeros((size, size)), np.zeros(size)
        for i, (fit, s) in enumerate(zip(fits, seen, strict=True)):
            head = pose_landmarks(model, identity, fit.expression)
            turned = head @ fit.rotation.T
            camera = turned + fit.translation
            flat = camera[:, :2] / camera[:, 2:]
            residual = fit.focal * flat + s.center - s.landmarks
            distance = np.linalg.norm(residual, axis=1)
            weight = model.weights / NOISE**2 / (1 + (distance / (OUTLIER * NOISE)) ** 2)
            to_pixel = np.zeros((len(head), 2, 3))
            to_pixel[:, 0, 0] = to_pixel[:, 1, 1] = fit.focal / camera[:, 2]
            to_pixel[:, :, 2] = -fit.focal * flat / camera[:, 2:]
            in_head = to_pixel @ fit.rotation
            jacobian = np.concatenate(
                [
                    in_head @ model.identity_basis,
                    (fit.focal * flat)[:, :, None],
                    in_head @ model.expression_basis,
                    -to_pixel @ _cross_matrices(turned),
                    to_pixel,
                ],
                axis=2,
            ).reshape(2 * len(head), -1)
            begin = count_i + 1 + i * block
            columns = np.r_[0 : count_i + 1, begin : begin + block]
            weighted = jacobian * np.repeat(weight, 2)[:, None]
            normal[np.ix_(columns, columns)] += jacobian.T @ weighted
            gradient[columns] += weighted.T @ residual.ravel()
            e = np.arange(begin, begin + count_e)
            normal[e, e] += expression_sigma**-2
            gradient[e] += (fit.expression - s.scores) * expression_sigma**-2
            # weights live in 0..1: an unknown at its bound that wants further out is held there for this step
            stuck = ((fit.expression <= 0) & (gradient[e] > 0)) | ((fit.expression >= 1) & (gradient[e] < 0))
            held = e[stuck]
            normal[held, :], normal[:, held], normal[held, held], gradient[held] = 0, 0, 1, 0
        normal[np.arange(count_i), np.arange(count_i)] += 1.0
        gradient[:count_i] += identity
        normal[count_i, count_i] += FOCAL_SIGMA**-2
        gradient[count_i] += log_scale * FOCAL_SIGMA**-2
        if not fit_focal:
            normal[count_i, :], normal[:, count_i], normal[count_i, count_i], gradient[count_i] = 0, 0, 1, 0
        step = -np.linalg.solve(normal + 1e-9 * np.eye(size), gradient)
        identity = identity + step[:count_i]
        log_scale += step[count_i]
        for i, fit in enumerate(fits):
            begin = count_i + 1 + i * block
            e, w, t = np.split(step[begin : begin + block], [count_e, count_e + 3])
            fits[i] = replace(
                fit,
                rotation=Rotation.from_rotvec(w).as_matrix() @ fit.rotation,
                translation=fit.translation + t,
                expression=np.clip(fit.expression + e, 0, 1),
                focal=fit.focal * float(np.exp(step[count_i])),
            )
    return identity, fits
