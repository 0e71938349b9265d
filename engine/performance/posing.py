"""One photo's expression, gaze and turn of the head, as a take of one sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from engine.errors import PhotoError
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import eyeballs
from engine.performance.actor import Actor, observe
from engine.performance.eyes import looking
from engine.performance.following import look
from engine.performance.reading import COLUMNS, LOST, Sight, fit_frame, row_of
from engine.performance.take import Take
from engine.photos.decode import decode
from engine.progress import Progress
from engine.tracking import PORTRAIT_FOCAL, SOURCE_SIGMA
from engine.tracking.solver import landmark_model, solve


def pose(path: Path, head: ParametricHead, progress: Progress) -> Take:
    """What the largest face in a photo does. One photo does not tell how that face rests, so all of it is kept.

    Args:
        path: a photo of anybody.
        head: a head model with ARKit's 52 keys first.

    Raises:
        PhotoError: the photo cannot be read, or shows no face.
        Cancelled: the user asked to stop.
    """
    progress.start("pose")
    image = decode(path).image
    faces = look(image)
    if not faces:
        raise PhotoError(f"No face found in {path.name}.", "Use a photo in which it is seen from the front, in focus.")
    face = max(faces, key=lambda other: other.height)
    progress.update(0.5)
    seen = observe(face, image, len(head.expression_names), PORTRAIT_FOCAL)
    identity, _ = solve(landmark_model(head), [seen], expression_sigma=SOURCE_SIGMA, fit_focal=True)
    shape = (head.template + np.tensordot(identity, head.identity_basis, axes=1)).astype(np.float32)
    eyes = eyeballs(shape.astype(np.float64), head.regions["eyes"])
    rest = np.zeros(len(head.expression_names))
    actor = Actor(landmark_model(head, shape), PORTRAIT_FOCAL, rest, eyes, np.zeros(0))
    fit, residual = fit_frame(actor.model, seen, None)
    row = row_of(actor, Sight(0.0, seen, face.rotation), fit, residual)[None]
    weights, _, looked, left, right, _, off = np.split(row, COLUMNS, axis=1)
    progress.finish()
    return Take(
        times=np.zeros(1),
        weights=looking(weights, [left, right]),
        head=Rotation.from_rotvec(looked).as_euler("xyz"),
        left_eye=left,
        right_eye=right,
        residual=off[:, 0],
        confidence=np.clip(1 - off[:, 0] / LOST, 0, 1),
        rate=1.0,
        frames=1,
        gaps=(),
    )
