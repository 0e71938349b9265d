"""A live performance as a take."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.errors import EngineError
from engine.live.sample import Sample

if TYPE_CHECKING:
    from engine.performance.take import Take

MOST_SAMPLES = 432_000  # two hours at 60 a second
DAY = 86_400.0
HOLE = 0.3  # s without a sample, from which on nothing is said: the sender was gone
COLUMNS = 1 + len(ARKIT_NAMES) + 9


class Recording:
    """Samples as they come, by the sender's time code.

    A clock that goes back (midnight, a phone that was restarted) goes on from where it was: a take's times rise.
    """

    def __init__(self) -> None:
        self.name = ""
        self._rows = array("d")
        self._offset = 0.0
        self._last = -np.inf

    def __len__(self) -> int:
        return len(self._rows) // COLUMNS

    def add(self, sample: Sample) -> None:
        """Keep a sample; beyond :data:`MOST_SAMPLES`, nothing more is kept."""
        if len(self) >= MOST_SAMPLES:
            return
        time = sample.time + self._offset
        if time <= self._last:
            self._offset += DAY if time < self._last - DAY / 2 else self._last - time + 1 / 60
            time = sample.time + self._offset
        self._last = time
        self.name = sample.name or self.name
        self._rows.append(time)
        self._rows.extend(sample.weights)
        self._rows.extend(sample.turns.ravel())

    def finish(self) -> Recorded:
        """What was recorded.

        Raises:
            EngineError: nothing came.
        """
        if not len(self):
            raise EngineError(
                "Nothing was recorded: no sample came.", "Wait until the source is connected before you record."
            )
        table = np.array(self._rows).reshape(-1, COLUMNS)
        subject = re.sub(r"[^\w-]+", "_", self.name).strip("_") or "live"
        return Recorded(f"{subject}_{timecode(table[0, 0])}", table)


@dataclass(frozen=True)
class Recorded:
    """A recording that has ended.

    Attributes:
        name: subject and time code, as a file's name can be.
        table: [T, 62] time, weights, turns of head, left and right eye.
    """

    name: str
    table: np.ndarray

    def take(self) -> Take:
        """The same as a take; gaps are where nothing was sent."""
        from engine.performance.take import Gap, Take  # with all that reads clips, which a phone does not need

        times, weights, head, left, right = np.split(self.table, np.cumsum([1, len(ARKIT_NAMES), 3, 3]), axis=1)
        times = times[:, 0]
        steps = np.diff(times)
        step = float(np.median(steps)) if len(steps) else 1 / 60
        gaps = tuple(
            Gap(float(times[at]), float(times[at + 1]), "nothing was sent.") for at in np.flatnonzero(steps > HOLE)
        )
        count = len(times)
        return Take(
            times=times,
            weights=weights,
            head=np.unwrap(head, axis=0),
            left_eye=np.unwrap(left, axis=0),
            right_eye=np.unwrap(right, axis=0),
            residual=np.zeros(count),
            confidence=np.ones(count),
            rate=1 / step,
            frames=count,
            gaps=gaps,
        )


def timecode(seconds: float) -> str:
    """``hh-mm-ss`` of the day, as a file's name can have it."""
    whole = int(seconds) % int(DAY)
    return f"{whole // 3600:02}-{whole // 60 % 60:02}-{whole % 60:02}"
