"""The thread that asks the engine for frames: each viewport's newest request, one by one. Knows nothing of Blender."""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from dataclasses import dataclass, field

import numpy as np

from ..engine_client.client import Client
from ..engine_client.engine import Engine
from ..engine_client.messages import EngineLost, EngineRefusal, PreviewRequest
from ..errors import AddonError
from .camera import EngineCamera

HEADS_KEPT = 4  # as many as the engine keeps
UNKNOWN_HEAD, SUPERSEDED = 404, 409  # HTTP statuses
FRAMES_AVERAGED = 0.2  # share of the newest frame in the mean time per frame


@dataclass(frozen=True)
class FrameRequest:
    """One frame that a viewport wants.

    Attributes:
        viewport: whose it is. head_id: key of the head's content, see :func:`..rig.extract.content_key`.
        state: compared with later states of the same viewport, to tell whether the frame still fits.
        since: ``time.monotonic()`` when the viewport came to this state.
    """

    viewport: int
    head_id: str
    camera: EngineCamera
    size: tuple[int, int]
    expression: dict[str, float]
    joint_rotations: dict[str, tuple[float, float, float]]
    state: tuple
    since: float


@dataclass(frozen=True)
class FrameAnswer:
    """What came: premultiplied sRGB float32 [H, W, 4] in 0..1, bottom row first, and the request that it answers."""

    pixels: np.ndarray
    request: FrameRequest


@dataclass(frozen=True)
class Problem:
    """Why a viewport has no frame: a sentence, and the state that it is about. What the engine ``refused`` is not worth
    a second try of the same."""

    text: str
    state: tuple
    refused: bool = False


@dataclass
class _Desk:
    """What both threads see; only touched with the lock held."""

    requests: dict[int, FrameRequest] = field(default_factory=dict)
    answers: dict[int, FrameAnswer] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    doing: FrameRequest | None = None
    doing_since: float = 0.0
    problems: dict[int, Problem] = field(default_factory=dict)
    seconds: float = 0.0
    ending: bool = False


class PreviewWorker:
    """Fetches frames until :meth:`stop`; the newest request of a viewport replaces the one before."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._desk = _Desk()
        self._sequence = itertools.count(1)
        self._resident: tuple[Client | None, set[str]] = (None, set())
        self._thread = threading.Thread(target=self._run, name="gaussian-heads-preview", daemon=True)
        self._thread.start()

    def give_head(self, head_id: str, avatar: bytes) -> None:
        """What to send when the engine does not know the head; the last :data:`HEADS_KEPT` are kept."""
        with self._changed:
            contents = self._desk.contents
            contents[head_id] = contents.pop(head_id, avatar)
            while len(contents) > HEADS_KEPT:
                del contents[next(iter(contents))]

    def has_head(self, head_id: str) -> bool:
        """Whether the head can be sent; otherwise it has to be given again."""
        with self._changed:
            return head_id in self._desk.contents

    def ask(self, request: FrameRequest) -> None:
        with self._changed:
            self._desk.requests[request.viewport] = request
            self._changed.notify()

    def take(self) -> dict[int, FrameAnswer]:
        """The answers that came since the last call, by viewport."""
        with self._changed:
            answers, self._desk.answers = self._desk.answers, {}
            return answers

    def is_waiting(self, viewport: int) -> bool:
        """Whether a request of this viewport is not answered yet."""
        with self._changed:
            desk = self._desk
            return viewport in desk.requests or (desk.doing is not None and desk.doing.viewport == viewport)

    @property
    def busy_seconds(self) -> float:
        """How long the engine has been at the present frame; 0 where it has nothing to do."""
        with self._changed:
            return time.monotonic() - self._desk.doing_since if self._desk.doing else 0.0

    def problem(self, viewport: int) -> Problem | None:
        """What came instead of the viewport's last frame."""
        with self._changed:
            return self._desk.problems.get(viewport)

    @property
    def frame_seconds(self) -> float:
        """Mean time per frame; 0 before the first."""
        with self._changed:
            return self._desk.seconds

    def stop(self) -> None:
        """Ends the thread as soon as the engine answers what it is asked at the moment."""
        with self._changed:
            self._desk.ending = True
            self._changed.notify()

    def join(self, seconds: float) -> bool:
        """Waits for the end of the thread; whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (request := self._next()) is not None:
            client = self._engine.client
            if client is None:
                self._fail(request, self._engine.status.message)
                continue
            try:
                self._fetch(client, request)
            except EngineLost as error:
                self._fail(request, str(self._engine.explain(error, client)))
            except EngineRefusal as error:
                self._fail(request, str(error), refused=400 <= error.status < 500)
            except AddonError as error:
                self._fail(request, str(error))
            except Exception as error:  # the thread must go on: nobody would see that it ended
                traceback.print_exc()
                self._fail(request, f"The preview met an unexpected error ({type(error).__name__}: {error}).")

    def _next(self) -> FrameRequest | None:
        with self._changed:
            desk = self._desk
            self._changed.wait_for(lambda: desk.ending or desk.requests)
            if desk.ending:
                return None
            viewport = next(iter(desk.requests))  # the one that has waited longest
            desk.doing, desk.doing_since = desk.requests.pop(viewport), time.monotonic()
            return desk.doing

    def _fetch(self, client: Client, request: FrameRequest) -> None:
        if self._resident[0] is not client:
            self._resident = (client, set())
        known = self._resident[1]
        if request.head_id not in known:
            self._send(client, request.head_id)
        started = time.perf_counter()  # time.monotonic() ticks 64 times a second on Windows
        try:
            pixels = self._draw(client, request)
        except EngineRefusal as refusal:
            if refusal.status == SUPERSEDED:
                with self._changed:
                    self._desk.doing = None
                return
            if refusal.status != UNKNOWN_HEAD:
                raise
            self._send(client, request.head_id)  # it was pushed out by other heads
            pixels = self._draw(client, request)
        seconds = time.perf_counter() - started
        with self._changed:
            desk = self._desk
            desk.doing = None
            desk.problems.pop(request.viewport, None)
            desk.answers[request.viewport] = FrameAnswer(pixels, request)
            share = FRAMES_AVERAGED if desk.seconds else 1.0
            desk.seconds += share * (seconds - desk.seconds)

    def _send(self, client: Client, head_id: str) -> None:
        with self._changed:
            content = self._desk.contents.get(head_id)
        if content is None:
            raise AddonError("The engine does not know this head any more.", "It is being sent again.")
        client.put_head(head_id, content)
        self._resident[1].add(head_id)

    def _draw(self, client: Client, request: FrameRequest) -> np.ndarray:
        width, height = request.size
        question = PreviewRequest(
            viewmat=request.camera.viewmat,
            K=request.camera.K,
            width=width,
            height=height,
            sequence=next(self._sequence),
            ortho=request.camera.ortho,
            expression=request.expression,
            joint_rotations=request.joint_rotations,
        )
        frame = client.preview(request.head_id, question)
        return np.multiply(frame.pixels[::-1], np.float32(1 / 255), dtype=np.float32)

    def _fail(self, request: FrameRequest, text: str, refused: bool = False) -> None:
        with self._changed:
            self._desk.doing = None
            self._desk.problems[request.viewport] = Problem(text, request.state, refused)
