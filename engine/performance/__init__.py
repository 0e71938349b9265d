"""Performances: an actor's face in a clip becomes a take of ARKit weights and turns, for any head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.heads.parametric import ParametricHead
from engine.performance.actor import meet
from engine.performance.posing import pose
from engine.performance.reading import GAP, read
from engine.performance.smoothing import NOISE, smooth
from engine.performance.take import Take, notes_of, write_take
from engine.photos.clips import clip_length
from engine.progress import Progress

__all__ = ["Take", "notes_of", "perform", "pose", "write_take"]

TREMBLE_TURN = 0.012  # radians, standard deviation of an angle's tremble
TURNS = ("head", "left_eye", "right_eye")


def perform(path: Path, head: ParametricHead, progress: Progress, strength: float = 0.5, neutral: bool = True) -> Take:
    """Read a performance off a clip of any length; the actor need not be whom the head shows.

    The actor's identity and lens are fitted on frames from all over the clip (:mod:`engine.tracking.solver`), then each
    frame's pose and expression from the one before. Only weights and turns are kept, so that they fit any head.
    Frames without the actor's face leave a gap.

    Args:
        path: the clip; its own frame times are kept, even ones or not. Of several people the one seen most acts.
        head: a head model with ARKit's 52 keys first.
        strength: of smoothing, 0..1; 0 leaves the take as it is read.
        neutral: the actor's calmest face counts as resting, and its gaze as straight ahead, so that a head rests when
            the actor does.

    Raises:
        PhotoError: the clip cannot be read, or shows no face.
        Cancelled: the user asked to stop.
    """
    progress.start("actor")
    length = clip_length(path)  # once: some containers have to be read to the end for it
    actor = meet(path, length, head, neutral, progress)
    progress.start("performance")
    take = read(path, length, actor, neutral, progress)
    if strength > 0:
        turns = {name: _smooth(take, getattr(take, name), strength, TREMBLE_TURN) for name in TURNS}
        weights = _smooth(take, take.weights, strength, NOISE)
        take = replace(take, weights=weights.clip(0, 1), **turns)
    progress.finish()
    return take


def _smooth(take: Take, values: np.ndarray, strength: float, noise: float) -> np.ndarray:
    """The values [T, C], smoothed piece by piece between gaps."""
    ends = np.flatnonzero(np.diff(take.times) > GAP / take.rate) + 1
    pieces = zip(np.split(take.times, ends), np.split(values, ends), strict=True)
    return np.concatenate([smooth(times, part, strength, noise) for times, part in pieces])
