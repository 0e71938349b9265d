"""What is done to live samples: the resting face taken away, mirrored, made stronger, smoothed, parts left out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from engine.arkit import ARKIT_NAMES
from engine.live.sample import Sample

PARTS: dict[str, tuple[str, ...]] = {  # what a part's keys begin with; head and gaze are turns
    "brows": ("brow",),
    "eyes": ("eye",),
    "mouth": ("jaw", "mouth", "tongue", "cheek", "nose"),
    "head": (),
    "gaze": (),
}
SIDES = {"Left": "Right", "Right": "Left"}
MIRRORED = [
    ARKIT_NAMES.index(next((name.removesuffix(a) + b for a, b in SIDES.items() if name.endswith(a)), name))
    for name in ARKIT_NAMES
]
LOOKS = np.array([name.startswith("eyeLook") for name in ARKIT_NAMES])
MOST_REST = 0.95  # of a weight, that can be taken away as resting
STILLEST, LOOSEST = 0.5, 10.0  # Hz, the cutoff for what stands still at the most and the least smoothing
OPENING = 3.0  # Hz that the cutoff rises for each unit a second: a blink passes nearly whole
SPEED_CUTOFF = 5.0  # Hz


@dataclass(frozen=True)
class Neutral:
    """An actor's resting face: weights [52] and turns [3, 3], see :class:`~engine.live.sample.Sample`."""

    weights: np.ndarray
    turns: np.ndarray


@dataclass(frozen=True)
class Settings:
    """What is wanted.

    Attributes:
        parts: of :data:`PARTS`. ``gaze`` turns the eyeballs, and leaves out the eyeLook keys: both would add up.
        gain: factor of the weights.
        smoothing: 0 (as sent) to 1.
        mirror: left for right.
        neutral: taken away; None for nothing.
    """

    parts: tuple[str, ...] = ("brows", "eyes", "mouth", "head")
    gain: float = 1.0
    smoothing: float = 0.0
    mirror: bool = False
    neutral: Neutral | None = None


@dataclass
class OneEuro:
    """The 1 € filter (Casiez, Roussel, Vogel, CHI 2012) on many channels at once.

    PyPI's OneEuroFilter, by two of its authors, has an object for each channel; the tests hold this one against it.
    """

    _time: float = -math.inf
    _value: np.ndarray = field(default_factory=lambda: np.zeros(0))
    _speed: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __call__(self, time: float, value: np.ndarray, cutoff: float) -> np.ndarray:
        """The smoothed value [C] at ``time``, s; ``cutoff``, Hz, for what stands still."""
        step = time - self._time
        if not 0 < step < 1:  # the first one, or after a pause
            self._value, self._speed = value, np.zeros_like(value)
        else:
            speed = (value - self._value) / step
            self._speed = self._speed + _share(SPEED_CUTOFF, step) * (speed - self._speed)
            self._value = self._value + _share(cutoff + OPENING * np.abs(self._speed), step) * (value - self._value)
        self._time = time
        return self._value


def _share(cutoff, step: float):
    """How much of a new value counts, after ``step`` s."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


class Filter:
    """One session's filters; they remember what was before."""

    def __init__(self) -> None:
        self._smooth = OneEuro()

    def __call__(self, sample: Sample, settings: Settings) -> Sample:
        weights, turns = sample.weights, sample.turns
        if settings.neutral is not None:
            rest = settings.neutral.weights.clip(0, MOST_REST)
            weights = ((weights - rest) / (1 - rest)).clip(0, 1)
            turns = turns_from(turns, settings.neutral.turns)
        if settings.mirror:
            weights, turns = weights[MIRRORED], turns[[0, 2, 1]] * (1, -1, -1)
        weights = (settings.gain * weights).clip(0, 1)
        if settings.smoothing > 0:
            cutoff = LOOSEST * (STILLEST / LOOSEST) ** settings.smoothing
            smooth = self._smooth(sample.time, np.concatenate([weights, turns.ravel()]), cutoff)
            weights, turns = smooth[: len(weights)], smooth[len(weights) :].reshape(3, 3)
        kept, turned = wanted(settings.parts)
        return replace(sample, weights=np.where(kept, weights, 0.0), turns=np.where(turned, turns, 0.0))


def turns_from(turns: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Turns [3, 3] as seen from those at rest."""
    return (Rotation.from_euler("xyz", rest).inv() * Rotation.from_euler("xyz", turns)).as_euler("xyz")


@lru_cache(maxsize=32)
def wanted(parts: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which weights [52] and which turns [3, 1] parts have."""
    begins = tuple(word for part in parts for word in PARTS[part])
    weights = np.array([name.startswith(begins) for name in ARKIT_NAMES]) & ~(LOOKS & ("gaze" in parts))
    return weights, np.array([["head" in parts], ["gaze" in parts], ["gaze" in parts]])
