"""What a speaking face does beside its mouth: it blinks, raises brows at stresses, and its head is never still."""

from __future__ import annotations

import numpy as np

from engine.arkit import ARKIT_NAMES

BLINK_EVERY, BLINK_LEAST = 3.6, 1.2  # s between blinks, mean and least (Bentivoglio et al. 1997: 26 a minute talking)
BLINK_SHAPE = ((-0.1, 0.0), (-0.02, 1.0), (0.03, 1.0), (0.2, 0.0))  # s around it, and how far the lids are shut
STRESS_APART, STRESS_WIDTH = 0.9, 0.16  # s
BROWS = {"browInnerUp": 0.5, "browOuterUpLeft": 0.35, "browOuterUpRight": 0.35}
SWAY = np.radians((2.4, 4.0, 1.8))  # pitch, yaw, roll; of slow waves of these Hz
WAVES = (0.11, 0.23, 0.41)
NOD = np.radians(3.5)
IDLE = 0.4  # of the sway, in silence
FADE = 0.5  # s at both ends, where the head is at rest


def enliven(
    weights: np.ndarray, loudness: np.ndarray, rate: float, seed: int, liveliness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Blinks, brows and the head's motion for a mouth that speaks.

    Args:
        weights: [T, 52] the mouth's, 0..1. loudness: [T]. rate: samples a second.
        liveliness: 0 for none to 1; blinks are whole as soon as there are any.

    Returns:
        weights [T, 52]; the head's pitch, yaw and roll, [T, 3] radians.
    """
    weights, times = weights.copy(), np.arange(len(loudness)) / rate
    rng = np.random.default_rng(seed)
    if liveliness <= 0:
        return weights, np.zeros((len(times), 3))
    offsets, lids = np.array(BLINK_SHAPE).T
    for at in _blinks(rng, times[-1], liveliness):
        shut = np.interp(times, at + offsets, lids)
        for side in ("Left", "Right"):
            key = ARKIT_NAMES.index(f"eyeBlink{side}")
            weights[:, key] = np.maximum(weights[:, key], shut)
    nods = np.zeros(len(times))
    for at in _stresses(loudness, rate):
        bump = np.exp(-0.5 * ((times - times[at]) / STRESS_WIDTH) ** 2)
        for name, most in BROWS.items():
            weights[:, ARKIT_NAMES.index(name)] += liveliness * most * rng.uniform(0, 1) ** 2 * bump
        nods += NOD * rng.uniform(0, 1) * bump
    spoken = _spread(loudness > 0.1 * loudness.max(), rate)
    phases = rng.uniform(0, 2 * np.pi, (len(WAVES), 3))
    sway = SWAY * np.mean([np.sin(2 * np.pi * w * times[:, None] + p) for w, p in zip(WAVES, phases, strict=True)], 0)
    head = sway * (IDLE + (1 - IDLE) * spoken)[:, None]
    head[:, 0] += nods
    ends = np.minimum(times, times[-1] - times) / FADE
    return weights.clip(0, 1), liveliness * head * np.clip(ends, 0, 1)[:, None]


def _blinks(rng: np.random.Generator, end: float, liveliness: float) -> list[float]:
    blinks: list[float] = []
    at = rng.uniform(0.4, BLINK_EVERY)
    while at < end:
        blinks.append(at)
        at += BLINK_LEAST + rng.exponential(BLINK_EVERY - BLINK_LEAST) / (0.5 + liveliness)
    return blinks


def _stresses(loudness: np.ndarray, rate: float) -> list[int]:
    """The loudest moments, not too near to each other."""
    smooth = _spread(loudness, rate)
    peaks = np.flatnonzero((smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:])) + 1
    chosen: list[int] = []
    taken = np.zeros(len(loudness), bool)
    apart = int(STRESS_APART * rate)
    for peak in peaks[np.argsort(-smooth[peaks])]:
        if smooth[peak] > 0.5 * smooth.max() and not taken[peak]:
            chosen.append(int(peak))
            taken[max(peak - apart, 0) : peak + apart] = True
    return sorted(chosen)


def _spread(values: np.ndarray, rate: float) -> np.ndarray:
    """[T] smoothed over a syllable."""
    window = np.hanning(max(int(0.3 * rate), 3) + 2)[1:-1]
    half = len(window) // 2
    padded = np.pad(np.asarray(values, float), (half, len(window) - 1 - half), mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")
