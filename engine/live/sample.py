"""What a live source says of a face at one moment, whatever it is sent by."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.errors import EngineError

PLACE = {name.lower(): place for place, name in enumerate(ARKIT_NAMES)}  # senders write ARKit's names in any case
LARGEST_TURN = 2 * math.pi
NAME_LENGTH = 63


class PacketError(EngineError):
    """A packet is damaged, hostile, or of a kind that is not understood."""


@dataclass(frozen=True)
class Sample:
    """A face at one moment.

    Attributes:
        time: seconds since midnight: the sender's time code where it sends one, otherwise this machine's.
        weights: [52] float64 0..1 in the order of :data:`engine.arkit.ARKIT_NAMES`.
        turns: [3, 3] float64 radians: head, left eye, right eye, each pitch, yaw, roll as in
            :class:`engine.performance.take.Take`.
        name: of the subject, as the sender calls it; may be empty.
        missed: frames that the sender's own numbers skip just before this one.
    """

    time: float
    weights: np.ndarray
    turns: np.ndarray
    name: str = ""
    missed: int = 0


def time_of_day() -> float:
    """Seconds since midnight, by this machine's clock."""
    now = time.time()
    local = time.localtime(now)
    return 3600 * local.tm_hour + 60 * local.tm_min + local.tm_sec + now % 1


def sample_of(moment: float, weights: np.ndarray, turns: np.ndarray, name: str = "", missed: int = 0) -> Sample:
    """A sample of a stranger's numbers: weights are kept within 0..1, the name is made fit to be printed.

    Raises:
        PacketError: a number is none, or an angle beyond a full turn.
    """
    if not (math.isfinite(moment) and np.isfinite(weights).all() and (np.abs(turns) <= LARGEST_TURN).all()):
        raise PacketError("A packet has something that is no number, or too large.", "Restart the sender.")
    printable = "".join(letter for letter in name if letter.isprintable()).strip()
    return Sample(moment, weights.clip(0, 1), turns, printable[:NAME_LENGTH], missed)
