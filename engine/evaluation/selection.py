"""Chooses source and target frames of a clip: deterministic, disjoint, spread over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.photos.photo import Photo

LEAST_TARGETS = 20  # the protocol's minimum
SPARE_TARGETS = 8  # read beyond what is asked for, to replace frames without a face or too near a source
APART = 3  # frames; a target nearer to a source than this would only measure copying
ANGLE_UNIT = 15.0  # degrees of yaw or pitch that count as one step
SCORE_UNIT = 0.5  # of ARKit scores that count as one step
SHARP_SHARE = 0.5  # of the median sharpness; below it a frame is no source
_GAZE = np.array([name.startswith("eyeLook") for name in ARKIT_NAMES])


@dataclass(frozen=True)
class Candidates:
    """Frame numbers to look at: ``sources`` and ``targets`` alternate in time and share none."""

    sources: tuple[int, ...]
    targets: tuple[int, ...]


def candidates(count: int, targets: int) -> Candidates:
    """Spread frame numbers over a clip of ``count`` frames, with spare ones for ``targets`` wanted."""
    slots = 2 * (targets + SPARE_TARGETS)
    numbers = np.unique(np.linspace(0, count - 1, min(slots, count)).round().astype(int)).tolist()
    return Candidates(tuple(numbers[1::2]), tuple(numbers[::2]))


def head_angles(photo: Photo) -> tuple[float, float]:
    """Yaw (positive: the face turns to the subject's left) and pitch in degrees, from the landmarks' depth.

    Pitch carries the face's own constant slope from brow to chin: compare it, do not read it.
    """
    right, left = photo.landmarks[[33, 263]]  # outer corners of the subject's right and left eye
    top, chin = photo.landmarks[[10, 152]]
    across, down = left - right, chin - top
    yaw = np.degrees(np.arctan2(across[2], np.hypot(across[0], across[1])))
    pitch = np.degrees(np.arctan2(down[2], np.hypot(down[0], down[1])))
    return float(yaw), float(pitch)


def choose_sources(photos: Sequence[Photo], count: int) -> list[int]:
    """Indices of the frames to reconstruct from.

    First the most frontal, neutral and sharp one; then, for ``count`` above 1, farthest-point sampling over pose and
    expression, so that the others show what the first does not.
    """
    angles = np.array([head_angles(photo) for photo in photos])
    scores = np.stack([photo.scores for photo in photos])
    sharpness = np.array([photo.sharpness for photo in photos])
    usable = sharpness >= SHARP_SHARE * np.median(sharpness)

    middle = np.array([0.0, np.median(angles[:, 1])])
    steps = np.abs(angles - middle).sum(1) / ANGLE_UNIT + np.linalg.norm(scores[:, ~_GAZE], axis=1) / SCORE_UNIT
    cost = steps + np.clip(1 - sharpness / np.median(sharpness), 0, None)
    chosen = [int(np.where(usable, cost, np.inf).argmin())]

    places = np.concatenate([angles / ANGLE_UNIT, scores / SCORE_UNIT], axis=1)
    while len(chosen) < min(count, int(usable.sum())):
        gaps = np.linalg.norm(places[:, None] - places[chosen], axis=-1).min(1)
        chosen.append(int(np.where(usable, gaps, -1.0).argmax()))
    return chosen


def choose_targets(numbers: Sequence[int], sources: Sequence[int], count: int) -> list[int]:
    """Positions in ``numbers`` of the frames to be scored.

    Args:
        numbers: frame numbers of the usable target candidates, ascending.
        sources: frame numbers of the chosen sources.
        count: how many to keep, evenly; all are kept when there are fewer.
    """
    far = [i for i, number in enumerate(numbers) if all(abs(number - source) >= APART for source in sources)]
    picks = np.linspace(0, len(far) - 1, min(count, len(far))).round().astype(int)
    return [far[i] for i in picks]
