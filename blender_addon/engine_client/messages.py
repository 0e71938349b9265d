"""What the engine is asked and what it answers, its refusals included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from .. import plain_json
from ..errors import AddonError
from ..systems import DEFAULT_HEAD, DEFAULT_SYSTEM

MAX_PHOTOS = 64

T = TypeVar("T")


class EngineLost(AddonError):
    """The engine does not answer: it died, was never there, or is unreachable."""


class EngineRefusal(AddonError):
    """The engine answered with an error of its own.

    Attributes:
        kind: the engine's name of the error, for example ``PhotoError`` or ``Superseded``.
        status: the HTTP status.
    """

    def __init__(self, message: str, hint: str, kind: str, status: int):
        super().__init__(message, hint)
        self.kind = kind
        self.status = status


@dataclass(frozen=True)
class PhotoVerdict:
    """What the engine says of one photo; angles in degrees, None where no face was found."""

    name: str
    usable: bool
    message: str
    warnings: list[str] = field(default_factory=list)
    yaw: float | None = None
    pitch: float | None = None
    faces: int = 0


@dataclass(frozen=True)
class JobOptions:
    """How to reconstruct.

    Attributes:
        system: one of the engine's, see :mod:`..systems`.
        head: ``makehuman``, or the path of a FLAME file on the engine's machine.
        quality: ``draft``, ``normal`` or ``high``: how long the Gaussians are fitted to the photos, and how many.
        refine_seconds: the most that the fitting may take for one photo; 0 skips it, None lets it end.
        count: Gaussians on the surface instead of the quality's; networks have their own number.
        frames: frames taken from each clip.
        weights: the name of a file that the engine was given; None for its own weights.
    """

    system: str = DEFAULT_SYSTEM
    head: str = DEFAULT_HEAD
    quality: str = "normal"
    refine_seconds: float | None = None
    count: int | None = None
    frames: int = 4
    weights: str | None = None


@dataclass(frozen=True)
class JobStatus:
    """Where a job stands; ``fraction`` is 0..1 of the whole, ``eta_s`` seconds that are left or None if unknown."""

    id: str
    name: str
    state: str
    stage: str
    stage_index: int
    stage_count: int
    fraction: float
    eta_s: float | None
    seconds: dict[str, float]
    set_aside: list[dict[str, str]]
    warnings: list[str]
    photos: list[str]
    error: dict[str, str] | None


@dataclass(frozen=True)
class PreviewRequest:
    """One frame to draw. All axes are the engine's.

    Attributes:
        viewmat: [4, 4] world to camera, OpenCV.
        K: [3, 3] pixels; with ``ortho``, fx and fy are pixels per metre.
        width, height: pixels, at most 4096.
        sequence: rises with every request; a newer one makes older waiting ones fail as ``Superseded``.
    """

    viewmat: Sequence[Sequence[float]]
    K: Sequence[Sequence[float]]
    width: int
    height: int
    sequence: int
    ortho: bool = False
    expression: dict[str, float] = field(default_factory=dict)
    joint_rotations: dict[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class PreviewFrame:
    """Pixels uint8 [H, W, 4], premultiplied sRGB, top row first; ``milliseconds`` the engine spent."""

    pixels: np.ndarray
    sequence: int
    milliseconds: float


@dataclass(frozen=True)
class LiveSettings:
    """What is done to live samples.

    Attributes:
        parts: of brows, eyes, mouth, head and gaze, which turns the eyeballs in the place of the eyeLook keys.
        gain: factor of the weights, 0..4. smoothing: 0..1. mirror: left for right.
        neutral: ``weights`` by name and ``turns`` by joint of the resting face, which is taken away; None for nothing.
    """

    parts: Sequence[str] = ("brows", "eyes", "mouth", "head")
    gain: float = 1.0
    smoothing: float = 0.0
    mirror: bool = False
    neutral: dict[str, Any] | None = None


@dataclass(frozen=True)
class LiveWish:
    """What to listen to.

    Attributes:
        source: one of the engine's. address, port: of the engine's machine; 0 for the source's own port.
        target: a phone's address, a camera's number, or the path of a clip on the engine's machine.
    """

    source: str
    address: str = "127.0.0.1"
    port: int = 0
    target: str = ""
    settings: LiveSettings = LiveSettings()


@dataclass(frozen=True)
class LiveStatus:
    """How a live source is, and its newest sample.

    Attributes:
        running: whether the engine listens. connected: whether samples come. fps: of the last second.
        dropped: frames that were lost, late, unreadable or skipped. refused: packets of others than the first sender.
        problem: why the last packet or picture could not be used. ended: why nothing more comes.
        recorded: samples of the recording, None where none runs.
        sequence: of the sample; rises. time: its time code, seconds since midnight.
        weights: by shape key. turns: pitch, yaw, roll in radians by joint (head, eyeLeft, eyeRight).
    """

    running: bool
    connected: bool = False
    fps: int = 0
    dropped: int = 0
    refused: int = 0
    problem: str = ""
    ended: str = ""
    subject: str = ""
    port: int = 0
    recorded: int | None = None
    sequence: int = 0
    time: float | None = None
    weights: dict[str, float] = field(default_factory=dict)
    turns: dict[str, list[float]] = field(default_factory=dict)


def read_answer(kind: type[T], body: dict[str, Any]) -> T:
    """A frozen dataclass from the engine's answer; entries that a newer engine adds are left out.

    Raises:
        AddonError: an entry is missing.
    """
    try:
        return kind(**{item.name: body[item.name] for item in fields(kind) if item.name in body})  # type: ignore[arg-type]
    except TypeError as error:
        raise not_understood(error) from error


def refusal(status: int, content: bytes) -> EngineRefusal:
    """What the engine says against a question, from the body of its answer."""
    try:
        error = plain_json.parse(content.decode("utf-8"))["error"]
        return EngineRefusal(str(error["message"]), str(error["hint"]), str(error["type"]), status)
    except (ValueError, KeyError, TypeError):
        return EngineRefusal(f"The engine answered with status {status}.", "Open its log.", "Unknown", status)


def not_understood(error: Exception) -> AddonError:
    """What to raise of an answer that is not as it should be."""
    return AddonError(
        f"The engine's answer is not understood ({error}).", "Use the engine that belongs to this extension."
    )
