"""A take: what an actor's face did, over time; and its CSV, which Blender's *Import Capture* reads."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from engine.arkit import ARKIT_NAMES
from engine.atomic import atomic_write
from engine.avatar import Pose
from engine.errors import EngineError

ANGLES = {"Head": "head", "LeftEye": "left_eye", "RightEye": "right_eye"}  # prefix of columns -> attribute
JOINTS = {"Head": "head", "LeftEye": "eyeLeft", "RightEye": "eyeRight"}  # prefix of columns -> an avatar's joint
AXES = ("Pitch", "Yaw", "Roll")
MOST_BYTES = 512 * 2**20
LARGEST = 10.0  # a weight or an angle beyond this is damage, not acting
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


def read_take(path: Path) -> list[Pose]:
    """The poses of a take, one for each row: of :func:`write_take`'s files, and of others with ARKit's names.

    What is not there rests; columns without a meaning are left out. Joints have the names of the avatar file.

    Raises:
        EngineError: the file cannot be read, or is no take; the message names the row.
    """
    way_out = "Choose a CSV with a row of ARKit's names, such as perform writes."
    try:
        if path.stat().st_size > MOST_BYTES:
            raise EngineError(f"{path.name} is larger than {MOST_BYTES // 2**20} MB.", "Cut the take into parts.")
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header, *rows = csv.reader(file)
            table = np.array([[_number(row, n) for n in range(len(header))] for row in rows])
    except OSError as error:
        raise EngineError(f"{path.name} cannot be read ({error.strerror or error}).", way_out) from error
    except (ValueError, csv.Error) as error:  # of no rows at all, too
        raise EngineError(f"{path.name} is no take.", way_out) from error
    places = {name.strip().lower(): n for n, name in enumerate(header)}
    weights = {name: places[name.lower()] for name in ARKIT_NAMES if name.lower() in places}
    angles = {
        joint: [places[(prefix + axis).lower()] for axis in AXES]
        for prefix, joint in JOINTS.items()
        if all((prefix + axis).lower() in places for axis in AXES)
    }
    if not len(table) or not weights and not angles:
        raise EngineError(f"{path.name} is no take.", way_out)
    used = [*weights.values(), *(place for three in angles.values() for place in three)]
    if damaged := np.flatnonzero(~(np.abs(table[:, used]) <= LARGEST).all(axis=1)).tolist():
        raise EngineError(
            f"Row {damaged[0] + 2} of {path.name} has something that is no number, or too large.", way_out
        )
    turns = {joint: Rotation.from_euler("xyz", table[:, three]).as_rotvec() for joint, three in angles.items()}
    return [
        Pose({name: float(row[n]) for name, n in weights.items()}, {joint: turn[t] for joint, turn in turns.items()})
        for t, row in enumerate(table)
    ]


def _number(row: Sequence[str], place: int) -> float:
    """What stands there; NaN for what is no number."""
    try:
        return float(row[place])
    except (IndexError, ValueError):
        return float("nan")


def notes_of(take: Take) -> Iterator[str]:
    """Sentences that whoever uses the take should read."""
    for gap in take.gaps:
        yield f"{gap.start:.2f} to {gap.end:.2f} s: {gap.reason}"
    yield f"{' and '.join(BARELY)} are hardly seen in a picture: key them by hand where they matter."
