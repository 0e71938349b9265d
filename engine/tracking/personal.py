"""What the identity basis cannot say: a smooth field over the head that carries the landmarks onto the photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import RBFInterpolator

from engine.heads.parametric import ParametricHead
from engine.tracking.solver import EYES, Fit, LandmarkModel, Observation, pose_landmarks, project

SHRINK = 0.15  # of a landmark's offset: the rest is detection noise
SHRINK_EYES = 0.03  # the same of lids: a pixel there is a tenth of what an eye opens
DEPTH_DISTRUST = 12.0  # offsets along the viewing ray are unseen in that photo: so much stiffer
SMOOTHING, SMOOTHING_EYES = 1e-4, 3e-6  # of the splines, m² as their kernel r² log r: lids move against each other
LARGEST = 0.012  # m; a larger offset is a wrong landmark, not a face
ANCHOR_STRIDE = 12  # every so manieth vertex beyond the face holds still
FACE_REACH = ("face", "lips", "lids", "brows", "mouth_interior")


def landmark_offsets(
    model: LandmarkModel, identity: np.ndarray, fits: Sequence[Fit], seen: Sequence[Observation]
) -> np.ndarray:
    """[478, 3] metres in the rest frame: ridge solution of every landmark's residuals over all photos.

    Only the components that the photos see are moved; along the viewing ray the ridge keeps the basis' answer.
    """
    count = len(model.positions)
    normal, gradient = np.zeros((count, 3, 3)), np.zeros((count, 3))
    for fit, s in zip(fits, seen, strict=True):
        head = pose_landmarks(model, identity, fit.expression)
        camera = head @ fit.rotation.T + fit.translation
        flat = camera[:, :2] / camera[:, 2:]
        to_pixel = np.zeros((count, 2, 3))
        to_pixel[:, 0, 0] = to_pixel[:, 1, 1] = fit.focal / camera[:, 2]
        to_pixel[:, :, 2] = -fit.focal * flat / camera[:, 2:]
        jacobian = to_pixel @ fit.rotation * (np.median(camera[:, 2]) / fit.focal)  # unit scale
        residual = (s.landmarks - project(head, fit, s.center)) * (np.median(camera[:, 2]) / fit.focal)
        normal += jacobian.transpose(0, 2, 1) @ jacobian
        gradient += (jacobian.transpose(0, 2, 1) @ residual[:, :, None])[:, :, 0]
        ray = camera / np.linalg.norm(camera, axis=1, keepdims=True) @ fit.rotation
        normal += SHRINK * DEPTH_DISTRUST * ray[:, :, None] * ray[:, None, :]
    shrink = np.full(count, SHRINK)
    shrink[list(EYES)] = SHRINK_EYES
    normal += len(fits) * shrink[:, None, None] * np.eye(3)
    offsets = np.linalg.solve(normal, gradient[:, :, None])[:, :, 0]
    length = np.linalg.norm(offsets, axis=1, keepdims=True)
    return offsets * np.minimum(1, LARGEST / np.maximum(length, 1e-12))


def spread(head: ParametricHead, neutral: np.ndarray, positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """[V, 3] metres: landmark offsets carried to all vertices by thin-plate splines that vanish beyond the head.

    Args:
        neutral: [V, 3] the shaped head. positions: [478, 3] its landmarks. offsets: [478, 3].
    """
    skin = np.arange(468)  # irises say where the eyes look, not how the face is built
    trusted = skin[head.landmark_weights[skin] > 0.2]
    still = head.regions["torso"] | head.regions["neck"] | head.regions["scalp"] | head.regions["ears"]
    anchors = np.flatnonzero(still)[::ANCHOR_STRIDE]
    points = np.concatenate([positions[trusted], neutral[anchors]])
    values = np.concatenate([offsets[trusted], np.zeros((len(anchors), 3))])
    smoothing = np.full(len(points), SMOOTHING)
    smoothing[: len(trusted)][np.isin(trusted, EYES)] = SMOOTHING_EYES
    field = RBFInterpolator(points, values, kernel="thin_plate_spline", smoothing=smoothing, neighbors=64)
    moved = np.zeros(len(neutral), bool)
    for name in (*FACE_REACH, "lashes", "eyes", "teeth", "tongue", "ears"):
        moved |= head.regions[name]
    out = np.zeros_like(neutral)
    out[moved] = field(neutral[moved])
    # eyeballs, teeth and tongue move as a whole: they are rigid bodies behind the skin
    for name in ("eyes", "teeth", "tongue"):
        for side in (neutral[:, 0] > 0, neutral[:, 0] <= 0) if name == "eyes" else (np.ones(len(neutral), bool),):
            part = head.regions[name] & side
            if part.any():
                out[part] = out[part].mean(axis=0)
    return out
