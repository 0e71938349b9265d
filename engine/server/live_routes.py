"""Routes for live sources: start, how it is and what it shows, filters, the resting face, recordings."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import compress
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from engine.arkit import ARKIT_NAMES
from engine.live.filters import PARTS, Neutral, Settings, wanted
from engine.live.sources import sources
from engine.live.spec import LOOPBACK, Wish
from engine.performance import take as takes, write_take
from engine.server.errors import documented
from engine.server.live import Moment
from engine.server.services import Parts

router = APIRouter(prefix="/live", responses=documented())
JOINTS = tuple(takes.JOINTS.values())  # rows of a sample's turns
LONGEST = 2.0  # s that a question may wait for an answer
DIGITS = 7

Angles = Annotated[list[Annotated[float, Field(ge=-7, le=7)]], Field(min_length=3, max_length=3)]
Weight = Annotated[float, Field(ge=0, le=1)]


def _only(names: Iterable[str]) -> AfterValidator:
    """Nothing but these names, in a list or a table."""
    known = set(names)

    def check(value: Collection[str]) -> Collection[str]:
        if unknown := sorted(set(value) - known):
            raise ValueError(f"{unknown[0][:63]} is not known")
        return value

    return AfterValidator(check)


def _keys(names: Iterable[str]) -> FieldInfo:
    return Field(json_schema_extra={"propertyNames": {"enum": list(names)}})


Weights = Annotated[dict[str, Weight], _only(ARKIT_NAMES), _keys(ARKIT_NAMES)]
Turns = Annotated[dict[str, Angles], _only(JOINTS), _keys(JOINTS)]


class RestingFace(BaseModel):
    """Weights by ARKit's names and pitch, yaw, roll in radians by joint; what is not named is 0."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    weights: Weights = {}
    turns: Turns = {}


class LiveSettings(BaseModel):
    """What is done to samples. ``gaze`` among the parts turns the eyeballs and leaves out the eyeLook keys."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    parts: Annotated[list[str], _only(PARTS), Field(json_schema_extra={"items": {"enum": list(PARTS)}})] = list(
        Settings.parts
    )
    gain: float = Field(default=1.0, ge=0, le=4)
    smoothing: float = Field(default=0.0, ge=0, le=1)
    mirror: bool = False
    neutral: RestingFace | None = None

    def settings(self) -> Settings:
        neutral = None
        if self.neutral is not None:
            weights, turns = self.neutral.weights, self.neutral.turns
            neutral = Neutral(
                np.array([weights.get(name, 0.0) for name in ARKIT_NAMES]),
                np.array([turns.get(joint, [0.0, 0.0, 0.0]) for joint in JOINTS]),
            )
        return Settings(tuple(self.parts), self.gain, self.smoothing, self.mirror, neutral)


class LiveWish(BaseModel):
    """What to listen to. ``port`` 0: the source's own. ``target``: a phone's address, a camera's number, or the path of
    a clip on the engine's machine."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, Field(max_length=63, json_schema_extra={"enum": list(sources())})]
    address: Annotated[str, Field(max_length=63)] = LOOPBACK
    port: int = Field(default=0, ge=0, le=65535)
    target: Annotated[str, Field(max_length=4096)] = ""
    settings: LiveSettings = LiveSettings()


class LiveStatus(BaseModel):
    """How a live source is, and its newest sample.

    ``fps``: samples in the last second; ``dropped``: lost, late, unreadable or skipped frames; ``refused``: packets of
    others than the first sender; ``problem``: why the last one could not be used; ``ended``: why nothing more comes;
    ``recorded``: samples of the recording, null where none runs; ``time``: seconds since midnight; ``turns``: pitch,
    yaw, roll in radians. Only what the chosen parts have is named.
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
    weights: dict[str, float] = {}
    turns: dict[str, list[float]] = {}


@router.post("")
def start(parts: Parts, wish: LiveWish) -> LiveStatus:
    """Listen to a source, in the place of the one before."""
    parts.live.start(Wish(wish.source, wish.address, wish.port, wish.target), wish.settings.settings())
    return _status(parts.live.wait(0, 0.0))


@router.delete("")
def stop(parts: Parts) -> LiveStatus:
    """Listen to nothing any more."""
    parts.live.stop()
    return _status(parts.live.wait(0, 0.0))


@router.get("")
def newest(
    parts: Parts,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    seconds: Annotated[float, Query(ge=0, le=LONGEST)] = 0.0,
) -> LiveStatus:
    """How it is, as soon as there is a sample newer than ``after``, at the latest after so many seconds."""
    return _status(parts.live.wait(after, seconds))


@router.put("/settings", status_code=204, responses=documented(409))
def settings(parts: Parts, chosen: LiveSettings) -> None:
    """Filter otherwise from here on."""
    parts.live.set(chosen.settings())


@router.post("/neutral", responses=documented(409))
def neutral(parts: Parts) -> RestingFace:
    """Take what the face does now for resting, and say what that is."""
    rest = parts.live.rest()
    return RestingFace(weights=_by_name(ARKIT_NAMES, rest.weights), turns=_by_name(JOINTS, rest.turns))


@router.post("/recording", status_code=204, responses=documented(409))
def record(parts: Parts) -> None:
    """Begin a recording, in the place of one that runs."""
    parts.live.record()


@router.post(
    "/recording/take",
    response_class=Response,
    responses={
        200: {
            "content": {"text/csv": {}},
            "description": "the CSV",
            "headers": {"X-Take": {"description": "subject and time code", "schema": {"type": "string"}}},
        },
        **documented(409, 507),
    },
)
def take(parts: Parts) -> Response:
    """End the recording: the take (docs/animation.md)."""
    recorded = parts.live.finish()
    with parts.folder.for_request() as folder:
        path = folder / "take.csv"
        write_take(recorded.take(), path)
        named = recorded.name.encode("ascii", "replace").decode().replace("?", "_")  # what a header can have
        return Response(path.read_bytes(), media_type="text/csv", headers={"X-Take": named})


def _by_name(names: tuple[str, ...], values: np.ndarray) -> dict:
    return dict(zip(names, values.round(DIGITS).tolist(), strict=True))


def _status(now: Moment) -> LiveStatus:
    if now.state is None:
        return LiveStatus(running=False, ended=now.ended, sequence=now.sequence)
    shown = {}
    if now.sample is not None:
        weights, turns = _by_name(ARKIT_NAMES, now.sample.weights), _by_name(JOINTS, now.sample.turns)
        kept, turned = wanted(now.parts)
        shown = {
            "time": now.sample.time,
            "weights": {name: weights[name] for name in compress(ARKIT_NAMES, kept)},
            "turns": {joint: turns[joint] for joint in compress(JOINTS, turned[:, 0])},
        }
    return LiveStatus(running=True, sequence=now.sequence, **vars(now.state), **shown)
