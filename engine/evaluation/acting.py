"""``evaluate --acting``: clips of synthetic actors whose every weight is known, and what ``perform`` reads off them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from rich.table import Table
from scipy.spatial.transform import Rotation

from engine.arkit import ARKIT_NAMES
from engine.curves import smoothstep
from engine.heads import load_head
from engine.heads.parametric import JOINTS
from engine.performance import Take, perform
from engine.progress import Progress
from engine.synthetic.acting import random_expression, random_pose
from engine.synthetic.samples import act

SIDE, RATE, FRAMES = 512, 25, 110
HELD, MOVING = 12, 8  # frames from one expression to the next, and how many of them move
STILL = slice(3, 17)  # frames in which nothing moves
BLINKS, BLINK = (20, 65), (0.6, 1.0, 0.6)  # middles of blinks, and their weights
VISIBLE = 0.2  # from which a weight is seen
SEED = 77  # stream of random numbers beside those of the person
BLINK_LEFT = ARKIT_NAMES.index("eyeBlinkLeft")
MOVED = np.array([not name.startswith("eyeLook") for name in ARKIT_NAMES])  # synthetic eyes turn by their joints


@dataclass(frozen=True)
class ActingScore:
    """One actor's take against the truth.

    Attributes:
        weights: mean absolute error of all weights but the gaze's; visible: of those over 0.2 in truth.
        head_deg, gaze_deg: mean angle between the read and the true turn of the head against the camera, and of the
            eyes against the head, degrees.
        jitter: standard deviation of the weights' second difference while nothing moves.
        rest: mean weight while the actor rests. blink: least height that a blink of three frames keeps.
    """

    seed: int
    weights: float
    visible: float
    head_deg: float
    gaze_deg: float
    jitter: float
    rest: float
    blink: float


def compare_acting(people: int, progress: Progress) -> list[ActingScore]:
    """Film the first held-out people and read their performances; a minute each."""
    progress.start("acting")
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(people):
            truth = _script(seed)
            clip = Path(folder) / f"{seed}.mp4"
            _film(seed, truth, clip)
            scores.append(_score(seed, perform(clip, load_head(), Progress(is_cancelled=progress.is_cancelled)), truth))
            progress.update((seed + 1) / people)
    progress.finish()
    return scores


def acting_table(scores: Sequence[ActingScore]) -> Table:
    """Actors as rows, their means last."""
    names = [name for name in asdict(scores[0]) if name != "seed"]
    table = Table("actor", *names)
    for score in scores:
        table.add_row(str(score.seed), *(f"{getattr(score, name):.3g}" for name in names))
    table.add_section()
    table.add_row("mean", *(f"{np.mean([getattr(score, name) for score in scores]):.3g}" for name in names))
    return table


def acting_json(scores: Sequence[ActingScore]) -> dict[str, Any]:
    """Plain values for ``json.dump``."""
    return {"actors": [asdict(score) for score in scores]}


def _script(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights [52] and joint rotations [5, 3] of every frame: rest, then random expressions and poses, and blinks."""
    rng = np.random.default_rng([seed, SEED])
    poses = [(np.zeros(len(ARKIT_NAMES)), np.zeros((len(JOINTS), 3)))] * 2
    poses += [(random_expression(rng), random_pose(rng)) for _ in range(FRAMES // HELD + 1)]
    rows = []
    for frame in range(FRAMES):
        number, on = divmod(frame, HELD)
        share = float(smoothstep(np.array(on / MOVING), 0, 1))
        weights, turns = (a * (1 - share) + b * share for a, b in zip(poses[number], poses[number + 1], strict=True))
        for middle in BLINKS:
            if abs(frame - middle) <= 1:
                for name in ("eyeBlinkLeft", "eyeBlinkRight"):
                    key = ARKIT_NAMES.index(name)
                    weights[key] = max(weights[key], BLINK[frame - middle + 1])
        rows.append((weights, turns))
    return rows


def _film(seed: int, script: Sequence[tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """The actor from in front, as H.264."""
    film = imageio_ffmpeg.write_frames(str(path), (SIDE, SIDE), fps=RATE, quality=9)
    film.send(None)
    for picture in act(seed, script, SIDE, directions=[(0.0, 0.0)] * len(script)).rgb:
        film.send((picture.clip(0, 1) * 255).round().astype(np.uint8))
    film.close()


def _score(seed: int, take: Take, script: Sequence[tuple[np.ndarray, np.ndarray]]) -> ActingScore:
    at = np.round(take.times * RATE).astype(int).clip(0, len(script) - 1)
    weights, turns = (np.array([script[frame][k] for frame in at]) for k in range(2))
    error = np.abs(take.weights - weights)[:, MOVED]
    joint = {name: Rotation.from_rotvec(turns[:, JOINTS.index(name)]) for name in JOINTS}
    head = joint["neck"] * joint["head"]
    eyes = (("eyeLeft", take.left_eye), ("eyeRight", take.right_eye))
    gaze = [_between(joint[name], Rotation.from_euler("xyz", found)) for name, found in eyes]
    blinks = [take.weights[np.abs(at - middle) <= 2, BLINK_LEFT].max(initial=0.0) for middle in BLINKS]
    return ActingScore(
        seed=seed,
        weights=float(error.mean()),
        visible=float(error[weights[:, MOVED] > VISIBLE].mean()),
        head_deg=float(np.degrees((head.inv() * Rotation.from_euler("xyz", take.head)).magnitude().mean())),
        gaze_deg=float(np.mean(gaze)),
        jitter=float(np.diff(take.weights[STILL], 2, axis=0).std()),
        rest=float(take.weights[: STILL.stop].mean()),
        blink=float(min(blinks)),
    )


def _between(one: Rotation, other: Rotation) -> float:
    """Mean degrees between where two eyes look."""
    forward = [0.0, 0.0, 1.0]
    cosine = (one.apply(forward) * other.apply(forward)).sum(axis=1)
    return float(np.degrees(np.arccos(cosine.clip(-1, 1))).mean())
