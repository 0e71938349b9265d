"""Reads a clip frame by frame: what the actor's face does in each, and where it is not seen."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from engine.errors import PhotoError
from engine.heads.landmarks import EYE_RIMS
from engine.performance.actor import CALM, COUNT, FREE, Actor, beyond, observe
from engine.performance.eyes import IRISES, aperture, gaze, looking, shut
from engine.performance.following import Follower
from engine.performance.take import Gap, Take
from engine.photos.clips import clip_stream
from engine.photos.crop import FACE_LANDMARKS
from engine.progress import Progress
from engine.tracking import DRIVE_SIGMA, distances
from engine.tracking.solver import TO_CAMERA, Fit, LandmarkModel, Observation, solve

STEPS = 6  # of the solver, from the frame before
AHEAD = 30  # frames that may wait to be solved
COLUMNS = np.cumsum([COUNT, 3, 3, 3, 3, 2])  # of a row: see row_of
LEFT_OVER = 0.2  # of a weight, that the resting face may still have after it was fitted
LOST = 25.0  # px of residual, at which nothing is certain any more
GAP = 2.5  # frames without a face, from which it is a gap

_Fitted = tuple[Fit, float]


@dataclass(frozen=True)
class Sight:
    """A frame's seconds, what the solver gets of its face, and the head's rotation [3, 3] by the networks."""

    time: float
    seen: Observation
    rotation: np.ndarray


def read(path: Path, length: int, actor: Actor, neutral: bool, progress: Progress) -> Take:
    """Every frame's sample of a clip of about ``length`` frames, and the gaps."""
    follower = Follower(actor.embedding)
    count = actor.model.expression_basis.shape[-1]
    waiting: deque[tuple[Sight, Future[_Fitted]]] = deque()
    rows: list[np.ndarray] = []  # nothing else of a frame is kept: a clip may be long
    times: list[float] = []
    every: list[float] = []

    def take_next() -> None:
        sight, fitted = waiting.popleft()
        rows.append(row_of(actor, sight, *fitted.result()))
        times.append(sight.time)

    missing: list[tuple[float, str]] = []
    last: Future[_Fitted] | None = None
    with ThreadPoolExecutor(1) as solver:  # a frame is solved while the next one is looked at
        for time, image in clip_stream(path):
            if every and time <= every[-1]:
                continue  # a container's clock that stands still or goes back
            every.append(time)
            progress.update(min(len(every) / max(length, 1), 1.0))
            face = follower.see(image)
            if face is None:
                missing.append((time, follower.missed))
                last = None
                continue
            seen = observe(face, image, count, actor.lens)
            seen = replace(seen, scores=beyond(seen.scores, actor.rest))
            last = solver.submit(fit_frame, actor.model, seen, last)
            waiting.append((Sight(time, seen, face.rotation), last))
            if len(waiting) > AHEAD:
                take_next()
        while waiting:
            take_next()
    if not rows:
        raise PhotoError(f"The actor's face is lost in {path.name}.", "Use a clip in which it is seen for longer.")
    table, at = np.array(rows), np.array(times)
    step = float(np.median(np.diff(every))) if len(every) > 1 else 1 / 25
    weights, solved, looked, left, right, apertures, residual = np.split(table, COLUMNS, axis=1)
    activity = weights[:, FREE].sum(axis=1)
    calm = activity <= np.quantile(activity, CALM)
    eyes = [left, right]
    if neutral:
        eyes = [eye - np.median(eye[calm], axis=0) for eye in eyes]
        weights = beyond(weights, np.where(FREE, np.median(weights[calm], axis=0), 0.0).clip(0, LEFT_OVER))
    return Take(
        times=at,
        weights=looking(shut(weights, apertures), eyes),
        head=_head(Rotation.from_rotvec(solved), Rotation.from_rotvec(looked)),
        left_eye=eyes[0],
        right_eye=eyes[1],
        residual=residual[:, 0],
        confidence=np.clip(1 - residual[:, 0] / LOST, 0, 1),
        rate=1 / step,
        frames=len(every),
        gaps=tuple(_gaps(missing, at, step)),
    )


def fit_frame(model: LandmarkModel, seen: Observation, earlier: Future[_Fitted] | None) -> _Fitted:
    """Pose and expression of a frame and its residual, from the frame before where there is one."""
    start = None
    if earlier is not None:
        before, _ = earlier.result()
        depth = before.translation * seen.focal / before.focal
        start = [replace(before, focal=seen.focal, translation=depth)]
    steps = STEPS if start else None
    _, (fit,) = solve(model, [seen], expression_sigma=DRIVE_SIGMA, fit_focal=False, start=start, steps=steps)
    return fit, float(distances(model, fit, seen)[:FACE_LANDMARKS].mean())


def row_of(actor: Actor, sight: Sight, fit: Fit, residual: float) -> np.ndarray:
    """[52 + 9 + 9 + 2 + 1]: weights; turn of the head by the solver and by the networks, as matrices' logarithms; turns
    of the eyes; how wide the eyes are open; residual."""
    seen = sight.seen
    turns = [
        gaze(ball, seen.landmarks[iris], fit, seen.center) for ball, (iris, _) in zip(actor.eyes, IRISES, strict=True)
    ]
    solved = Rotation.from_matrix(TO_CAMERA @ fit.rotation).as_rotvec()
    looked = Rotation.from_matrix(sight.rotation).as_rotvec()
    apertures = [aperture(seen.landmarks, EYE_RIMS[iris]) for iris, _ in IRISES]
    return np.concatenate([fit.expression[:COUNT], solved, looked, *turns, apertures, [residual]])


def _head(solved: Rotation, looked: Rotation) -> np.ndarray:
    """[T, 3] pitch, yaw, roll: turned as the networks see it, about the pose that the solver finds on the whole. What
    looks like a nod can be a raised brow to the solver; the networks know better, but not where a person's front is."""
    turned = looked * (looked.inv() * solved).mean()
    return np.unwrap(turned.as_euler("xyz"), axis=0)


def _gaps(missing: list[tuple[float, str]], seen: np.ndarray, step: float) -> Iterator[Gap]:
    """Frames without the face, gathered to gaps."""
    start = end = -math.inf
    reason = ""
    for time, why in [*missing, (math.inf, "")]:
        if time - end > GAP * step or ((seen > end) & (seen < time)).any() or why != reason:
            if end > -math.inf:
                yield Gap(start, end + step, reason)
            start, reason = time, why
        end = time
