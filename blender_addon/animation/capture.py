"""Face captures as CSV: Live Link Face's files and any table with ARKit's names. Plain Python, without Blender."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arkit import ARKIT_NAMES
from ..errors import AddonError
from ..files import unreadable

MAX_BYTES = 512 * 2**20  # more than two hours at 60 frames a second
MAX_ROWS = 500_000
MAX_COLUMNS = 1024
LIVE_LINK_RATE = 60.0  # frames a second; Live Link Face's own default, and of our timecodes
RATES = (24.0, 25.0, 30.0, 50.0, LIVE_LINK_RATE)
TELLING_ROWS = 48  # of two seconds and more; fewer may have missed a second's last frames
HALF_DAY = 43_200.0  # s; a time that falls by more has passed midnight
MAX_WEIGHT = 10.0  # a weight beyond this is damage, not acting
TIME_COLUMNS = {
    "time": 1.0,
    "seconds": 1.0,
    "timestamp": 1.0,
    "timestampms": 1e-3,
    "milliseconds": 1e-3,
    "timems": 1e-3,
}

# Live Link Face's order of columns.
_LIVE_LINK = (
    *(f"eye{part}{side}" for side in ("Left", "Right") for part in
      ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")),
    "jawForward", "jawRight", "jawLeft", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight",
    "mouthLeft", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp",
    "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)  # fmt: skip
ANGLE_COLUMNS = {"head": "Head", "eyeLeft": "LeftEye", "eyeRight": "RightEye"}  # joint -> prefix of its columns
ANGLES = ("Pitch", "Yaw", "Roll")
TOLD_ELSEWHERE = ("blendshapecount", "residual", "confidence")  # columns that are read past without a word


@dataclass(frozen=True)
class Capture:
    """A recorded performance.

    Attributes:
        times: [T] float64 seconds, rising, the first one 0.
        weights: ARKit name -> [T] float64.
        angles: joint ("head", "eyeLeft", "eyeRight") -> [T, 3] float64 pitch, yaw, roll in radians: Euler XYZ about
            the head's axes (x to the subject's left, y up, z forward). That is how Live Link Face writes them: in its
            recordings the eyes' roll fits no other order.
        rate: the recording's frames per second, as far as its timecodes tell.
        begin: what the file's own clock said at the first of the times, in seconds.
        ignored: names of columns without a meaning.
        skipped: one sentence per kind of damaged row: how many, and where the first one is.
    """

    times: np.ndarray
    weights: Mapping[str, np.ndarray]
    angles: Mapping[str, np.ndarray]
    rate: float
    ignored: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    begin: float = 0.0


def read_capture(path: Path, rate: float = 0.0, is_cancelled: Callable[[], bool] = lambda: False) -> Capture:
    """Read a capture file.

    Args:
        path: a CSV file with a header of ARKit's names in any case; a timecode ``hh:mm:ss:ff(.fff)``, a time in
            seconds, or a frame column say when, otherwise one row is one frame.
        rate: frames per second of the recording; 0 finds it from the timecodes (60 where they do not tell).
        is_cancelled: asked now and then; makes the function stop with an error.

    Raises:
        AddonError: the file cannot be read, is too large or holds no capture.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise AddonError(
                f"{path.name} is larger than {MAX_BYTES // 2**20} MB.", "Cut the recording into takes and import those."
            )
        text = path.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise unreadable(path, error, "Choose another file.") from error
    return parse_capture(text, path.name, rate, is_cancelled)


def parse_capture(
    text: str, name: str = "The text", rate: float = 0.0, is_cancelled: Callable[[], bool] = lambda: False
) -> Capture:
    """The same for a file's text; ``name`` is used in errors."""
    header_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=header_line.count)
    lines = csv.reader(io.StringIO(text), delimiter=delimiter)
    damage = _Damage()
    rows: list[list[float]] = []
    clocks: list[str] = []
    where: list[int] = []  # line in the file
    try:
        header = [column.strip() for column in next(lines, [])]
        columns = _Columns(header)
        if not columns.weights and not columns.angles:
            raise AddonError(
                f"{name} has no column with a name of ARKit's, such as EyeBlinkLeft.",
                "Export the recording as a Live Link Face CSV, or name the columns after ARKit's blend shapes.",
            )
        for row in lines:
            if not row:
                continue
            if len(rows) >= MAX_ROWS:
                raise AddonError(f"{name} has more than {MAX_ROWS:,} rows.", "Cut the recording into takes.")
            if len(rows) % 1000 == 0 and is_cancelled():
                raise AddonError(f"Reading {name} was cancelled.", "Import it again when you need it.")
            if len(row) != len(header):
                damage.note(lines.line_num, "too few values" if len(row) < len(header) else "too many values")
                continue
            try:
                values = [float(row[column]) for column in columns.used]
            except ValueError:
                damage.note(lines.line_num, "something that is no number")
                continue
            if not all(abs(value) <= bound for value, bound in zip(values, columns.bounds, strict=True)):
                damage.note(lines.line_num, "a number out of range")
                continue
            rows.append(values)
            clocks.append(row[columns.clock] if columns.clock is not None else str(len(clocks)))
            where.append(lines.line_num)
    except csv.Error as error:
        raise AddonError(
            f"{name} is damaged near line {lines.line_num}: {error}.", "Export the recording again as CSV."
        ) from error
    times, keep, rate, begin = _times(clocks, where, columns, rate, damage)
    if not keep.size:
        raise AddonError(
            f"{name} has no row that can be used. {' '.join(damage.sentences())}".strip(),
            "Export the recording again as a CSV with ARKit's blend shapes.",
        )
    table = np.array(rows, np.float64)[keep]
    weights = {key: table[:, place] for key, place in columns.weights.items()}
    angles = {joint: _angles(table, places) for joint, places in columns.angles.items()}
    return Capture(times, weights, angles, rate, columns.ignored, damage.sentences(), begin)


def write_capture(
    times: Sequence[float] | np.ndarray,
    weights: Mapping[str, Sequence[float] | np.ndarray],
    angles: Mapping[str, np.ndarray],
) -> str:
    """A performance as the text of a Live Link Face CSV.

    Args:
        times: [T] seconds from midnight, 0 or more.
        weights: ARKit name -> [T]; missing ones are written as 0.
        angles: joint -> [T, 3] pitch, yaw, roll in radians; missing ones are written as 0.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    turned = [(joint, prefix, angle) for joint, prefix in ANGLE_COLUMNS.items() for angle in ("Yaw", "Pitch", "Roll")]
    names = [name[0].upper() + name[1:] for name in _LIVE_LINK] + [prefix + angle for _, prefix, angle in turned]
    writer.writerow(["Timecode", "BlendShapeCount", *names])
    rest = np.zeros(len(times))
    still = np.zeros((len(times), 3))
    columns = [np.asarray(weights.get(name, rest)) for name in _LIVE_LINK]
    columns += [np.asarray(angles.get(joint, still))[:, ANGLES.index(angle)] for joint, _, angle in turned]
    for time, values in zip(times, np.column_stack(columns), strict=True):
        writer.writerow([timecode(time), len(names), *(f"{value:.10f}" for value in values)])
    return out.getvalue()


def timecode(seconds: float) -> str:
    """``hh:mm:ss:ff.fff`` at 60 frames a second."""
    ticks = round(seconds * LIVE_LINK_RATE * 1000)  # thousandths of a frame
    whole, frame = divmod(ticks, int(LIVE_LINK_RATE) * 1000)
    return f"{whole // 3600 % 24:02}:{whole // 60 % 60:02}:{whole % 60:02}:{frame / 1000:06.3f}"


class _Columns:
    """What the columns of a header mean.

    Attributes:
        weights: ARKit name -> place in a used row; angles: joint -> places of pitch, yaw, roll (None: missing).
        used: columns of the file that a used row takes; bounds: the largest absolute value of each.
        clock: column of the time; clock_kind "timecode", "frame" or "seconds"; clock_unit: seconds per unit.
        ignored: names of all other columns.
    """

    def __init__(self, header: Sequence[str]):
        if len(header) > MAX_COLUMNS:
            raise AddonError(f"The capture has {len(header)} columns.", f"Keep at most {MAX_COLUMNS}.")
        arkit = {name.lower(): name for name in ARKIT_NAMES}
        turns = {
            f"{prefix}{angle}".lower(): (joint, place)
            for joint, prefix in ANGLE_COLUMNS.items()
            for place, angle in enumerate(ANGLES)
        }
        self.weights: dict[str, int] = {}
        self.angles: dict[str, list[int | None]] = {}
        self.used: list[int] = []
        self.bounds: list[float] = []
        self.clock: int | None = None
        self.clock_kind, self.clock_unit = "frame", 1.0
        ignored = []
        for column, title in enumerate(header):
            plain = _plain(title)
            if (name := arkit.get(plain)) and name not in self.weights:
                self.weights[name] = self._use(column, MAX_WEIGHT)
            elif plain in turns:
                joint, place = turns[plain]
                self.angles.setdefault(joint, [None] * 3)[place] = self._use(column, 360.0)
            elif self.clock is None and (plain in TIME_COLUMNS or plain in ("timecode", "frame")):
                self.clock = column
                self.clock_kind = plain if plain in ("timecode", "frame") else "seconds"
                self.clock_unit = TIME_COLUMNS.get(plain, 1.0)
            elif plain not in TOLD_ELSEWHERE:
                ignored.append(title or f"column {column + 1}")
        self.ignored = tuple(ignored)

    def _use(self, column: int, bound: float) -> int:
        self.used.append(column)
        self.bounds.append(bound)
        return len(self.used) - 1


def _plain(title: str) -> str:
    """A title without case, blanks and signs, and with its side written out: "Eye_Blink_L" is "eyeblinkleft"."""
    title = re.sub(r"[_\-. ]([LR])$", lambda side: {"L": "Left", "R": "Right"}[side[1]], title.strip())
    return re.sub(r"[^a-z0-9]", "", title.lower())


class _Damage:
    """Counts damaged rows by kind."""

    def __init__(self):
        self._lines: dict[str, list[int]] = {}

    def note(self, line: int, kind: str) -> None:
        self._lines.setdefault(kind, []).append(line)

    def sentences(self) -> tuple[str, ...]:
        return tuple(
            f"{len(lines)} {'row' if len(lines) == 1 else 'rows'} skipped for {kind}, the first in line {lines[0]}."
            for kind, lines in self._lines.items()
        )


def _angles(table: np.ndarray, places: Iterable[int | None]) -> np.ndarray:
    """[T, 3] radians. Numbers that no turned head has in radians are degrees."""
    angles = np.column_stack([np.zeros(len(table)) if place is None else table[:, place] for place in places])
    return np.deg2rad(angles) if np.abs(angles).max(initial=0.0) > math.pi else angles


def _times(
    clocks: Sequence[str], where: Sequence[int], columns: _Columns, rate: float, damage: _Damage
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Seconds [T] from the first row, the rows [T] that have them, its rate, and what its first clock said."""
    parsed = [_clock(clock, columns.clock_kind) for clock in clocks]
    if columns.clock_kind == "timecode":
        rate = rate or _timecode_rate([value for value in parsed if value is not None])
    rate = rate or LIVE_LINK_RATE
    times: list[float] = []
    keep: list[int] = []
    midnight = 0.0
    for row, value in enumerate(parsed):
        if value is None:
            damage.note(where[row], "an unreadable time")
            continue
        seconds, frames = value
        seconds = seconds * columns.clock_unit + frames / rate + midnight
        if times and seconds < times[-1] - HALF_DAY and columns.clock_kind == "timecode":
            midnight += 2 * HALF_DAY
            seconds += 2 * HALF_DAY
        if times and seconds <= times[-1]:
            damage.note(where[row], "a time that is not after the row before")
            continue
        times.append(seconds)
        keep.append(row)
    begin = times[0] if times else 0.0
    return np.array(times) - begin, np.array(keep, int), rate, begin


def _clock(text: str, kind: str) -> tuple[float, float] | None:
    """Seconds and frames; None where the text is no time."""
    if kind == "timecode":
        match = re.fullmatch(r"\s*(\d{1,3}):(\d{1,2}):(\d{1,2})[:;](\d{1,3}(?:\.\d*)?)\s*", text)
        if match is None:
            return None
        hours, minutes, seconds = (int(part) for part in match.groups()[:3])
        return 3600.0 * hours + 60.0 * minutes + seconds, float(match[4])
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return (0.0, value) if kind == "frame" else (value, 0.0)


def _timecode_rate(clocks: Sequence[tuple[float, float]]) -> float:
    """The slowest usual rate that has all frame numbers; 60 for takes too short to have shown the highest one."""
    highest = max((frames for _, frames in clocks), default=0.0)
    enough = len(clocks) >= TELLING_ROWS and clocks[-1][0] - clocks[0][0] >= 2
    return next((rate for rate in (RATES if enough else RATES[-1:]) if highest < rate), float(math.floor(highest) + 1))
