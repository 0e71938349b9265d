"""Takes the landmarks' tremble out of a take and leaves what is meant: zero-phase, and open where things move fast."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

STILL = 0.11  # s, standard deviation of the longest window, at strength 1
LEAST = 0.008  # s, of the shortest
NOISE = 0.02  # of a signal's unit: what is as small is tremble, what is several times as large is meant
MEANT = (1.0, 3.0)  # of the noise, between which smoothing ends
WIDTH = 0.07  # s around a movement over which it stays open


def smooth(times: np.ndarray, values: np.ndarray, strength: float, noise: float = NOISE) -> np.ndarray:
    """A signal without its tremble. A blink of three frames keeps its height, whatever the strength.

    The signal is a mixture of itself and of its Gaussian means, each sample by how far it departs from its mean over a
    wide window: nothing of that is causal, so nothing lags.

    Args:
        times: [T] seconds, rising. values: [T, C], evenly meant units. strength: 0 leaves all as it is, 1 is the most.
        noise: standard deviation of the tremble.
    """
    if len(times) < 3 or strength <= 0:
        return values
    step = float(np.median(np.diff(times)))
    sigma = max(LEAST, strength * STILL) / step
    wide = gaussian_filter1d(values, sigma, axis=0, mode="nearest")
    little = gaussian_filter1d(values, sigma / 4, axis=0, mode="nearest")
    reach = 2 * int(round(WIDTH / step / 2)) + 1
    moving = maximum_filter1d(np.abs(little - wide), reach, axis=0, mode="nearest")
    open_ = np.clip((moving / noise - MEANT[0]) / (MEANT[1] - MEANT[0]), 0, 1)
    open_ = gaussian_filter1d(open_, sigma / 4, axis=0, mode="nearest")
    return wide * (1 - open_) + values * open_
