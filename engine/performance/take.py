"""A take: what an actor's face did, over time; and its CSV, which Blender's *Import Capture* reads."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.atomic import atomic_write

ANGLES = {"Head": "head", "LeftEye": "left_eye", "RightEye": "right_eye"}  # prefix of columns -> attribute
AXES = ("Pitch", "Yaw", "Roll")
BARELY = ("cheekPuff", "tongueOut")  # the networks do not see them


@dataclass(frozen=True)
class Gap:
    """Seconds from ``start`` to ``end`` in which there is no face to read, and why."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True)
class Take:
    """An actor's performance; T samples, only where the face was seen.

    Attributes:
        times: [T] float64 seconds from the clip's beginning, rising.
        weights: [T, 52] float64 0..1 in the order of :data:`engine.arkit.ARKIT_NAMES`.
        head, left_eye, right_eye: [T, 3] float64 radians: pitch, yaw, roll, Euler XYZ about the head's axes (x to the
            subject's left, y up, z forward); of the head against the camera, of the eyes against the head.
        residual: [T] float64, mean distance between fitted and seen landmarks in pixels of a 512 px head crop.
        confidence: [T] float64 0..1.
        rate: frames per second of the clip, the median.
        frames: of the clip.
        gaps: where nothing is said.
    """

    times: np.ndarray
    weights: np.ndarray
    head: np.ndarray
    left_eye: np.ndarray
    right_eye: np.ndarray
    residual: np.ndarray
    confidence: np.ndarray
    rate: float
    frames: int
    gaps: tuple[Gap, ...]

    def to_json(self) -> dict[str, Any]:
        """What a report says of it, for ``json.dump``."""
        return {
            "frames": self.frames,
            "samples": len(self.times),
            "rate": self.rate,
            "residual_px": float(self.residual.mean()),
            "gaps": [asdict(gap) for gap in self.gaps],
        }


def write_take(take: Take, path: Path) -> None:
    """Write a take as CSV: a row per sample; ``Time`` in seconds, ARKit's names, angles in radians.

    Raises:
        OutputError: the file cannot be written.
    """
    names = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    turns = [prefix + axis for prefix in ANGLES for axis in AXES]
    table = np.column_stack(
        [take.weights, *(getattr(take, name) for name in ANGLES.values()), take.residual, take.confidence]
    )
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["Time", *names, *turns, "Residual", "Confidence"])
        writer.writerows(
            [f"{time:.6f}", *(f"{v:.6f}" for v in row)] for time, row in zip(take.times, table, strict=True)
        )


def notes_of(take: Take) -> Iterator[str]:
    """Sentences that whoever uses the take should read."""
    for gap in take.gaps:
        yield f"{gap.start:.2f} to {gap.end:.2f} s: {gap.reason}"
    yield f"{' and '.join(BARELY)} are hardly seen in a picture: key them by hand where they matter."
