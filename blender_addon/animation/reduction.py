"""Fewer keys that say the same. Plain Python and numpy, without Blender."""

from __future__ import annotations

import math

import numpy as np


def reduce(frames: np.ndarray, values: np.ndarray, tolerance: float) -> np.ndarray:
    """The samples that stay, so that straight lines between them miss none by more than the tolerance.

    From each sample that stays, the slopes that pass every later one within the tolerance are a cone that narrows; the
    last sample inside the cone stays next (Imai & Iri 1986, "Computational-geometric methods for polygonal
    approximations of a curve"). It needs one pass, and leaves fewer keys than Ramer, Douglas and Peucker's way.

    Args:
        frames: [T] rising. values: [T, C]; the channels stay together.
        tolerance: the most that any channel may miss at any sample; 0 or more.

    Returns:
        [K] int places, the first and the last sample always among them.
    """
    times = np.asarray(frames, np.float64).tolist()
    columns = [column.tolist() for column in np.asarray(values, np.float64).T]
    kept, last = [0], len(times) - 1
    while kept[-1] < last:
        anchor = kept[-1]
        reach = min(_reach(times, column, anchor, last, tolerance) for column in columns)
        while len(columns) > 1 and any(not _passes(times, column, anchor, reach, tolerance) for column in columns):
            reach -= 1
        kept.append(reach)
    return np.array(kept)


def _reach(times: list[float], values: list[float], anchor: int, last: int, tolerance: float) -> int:
    """The furthest sample that a line from the anchor may end at."""
    low, high, best = -math.inf, math.inf, anchor + 1
    start, begin = times[anchor], values[anchor]
    for sample in range(anchor + 1, last + 1):
        run = times[sample] - start
        rise = values[sample] - begin
        slope, slack = rise / run, tolerance / run
        if low <= slope <= high:
            best = sample
        if slope - slack > low:
            low = slope - slack
        if slope + slack < high:
            high = slope + slack
        if low > high:
            break
    return best


def _passes(times: list[float], values: list[float], anchor: int, end: int, tolerance: float) -> bool:
    """Whether the line from the anchor to the end misses no sample between by more than the tolerance."""
    start, begin = times[anchor], values[anchor]
    slope = (values[end] - begin) / (times[end] - start)
    return all(
        abs(begin + slope * (times[sample] - start) - values[sample]) <= tolerance for sample in range(anchor + 1, end)
    )
