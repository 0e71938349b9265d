"""Heads that stay loaded, and their pictures: the newest request is drawn, older ones that still wait are dropped."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

import torch

from engine.avatar import Avatar, Pose, drive
from engine.device import Drawing, moved
from engine.errors import AvatarError
from engine.gaussians.gaussians import Splats
from engine.rendering import Camera, render
from engine.server.errors import NotFound, Superseded
from engine.splatting import warm_up

LOG = logging.getLogger(__name__)
MAX_HEADS = 4


class Resident:
    """A loaded head. It remembers the pose driven last, so that a moving camera does not pay for it."""

    def __init__(self, avatar: Avatar):
        self.avatar = avatar
        self._there = avatar  # the same on the device that draws
        self._driven: tuple[Pose, Splats] | None = None

    def drive(self, pose: Pose, device: torch.device) -> Splats:
        """Its Gaussians on ``device``. Raises AvatarError for a key or joint that the head does not have."""
        if self._there.gaussians.colors.device != device:
            self._driven = None
            self._there = moved(self.avatar, device)
        driven = self._driven
        if driven is None or driven[0] != pose:
            driven = self._driven = (pose, drive(self._there, pose.expression, pose.joint_rotations))
        return driven[1]


class Heads:
    """The heads used last, at most ``MAX_HEADS``, by the id that the client chose. For any thread."""

    def __init__(self) -> None:
        self._heads: OrderedDict[str, Resident] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, head_id: str, avatar: Avatar) -> None:
        """Keep a head, in the place of an older one with this id; the one unused for longest gives way."""
        head = Resident(avatar)
        with self._lock:
            self._heads[head_id] = head
            self._heads.move_to_end(head_id)
            while len(self._heads) > MAX_HEADS:
                self._heads.popitem(last=False)

    def get(self, head_id: str) -> Resident:
        """Raises NotFound."""
        with self._lock:
            if head_id not in self._heads:
                raise _unknown(head_id)
            self._heads.move_to_end(head_id)
            return self._heads[head_id]

    def remove(self, head_id: str) -> None:
        """Raises NotFound."""
        with self._lock:
            if self._heads.pop(head_id, None) is None:
                raise _unknown(head_id)

    def __len__(self) -> int:
        return len(self._heads)


def _unknown(head_id: str) -> NotFound:
    return NotFound(f"The engine holds no head {head_id!r}.", "Send the head again; only the last few are kept.")


@dataclass(frozen=True)
class Shot:
    """A picture to draw. ``sequence`` tells the newer of two requests for one head."""

    head: Resident
    pose: Pose
    camera: Camera
    sequence: int


@dataclass(frozen=True)
class PreviewFrame:
    """A drawn picture.

    Attributes:
        pixels: [height, width, 4] uint8 sRGB, premultiplied by alpha, rows from the top, as bytes.
        milliseconds: spent on it.
    """

    pixels: bytes
    milliseconds: float


class Previewer:
    """Draws on its own thread, one picture at a time.

    Args:
        drawing: says where; when its GPU fails, the picture is drawn on the CPU, and so is all that follows.
    """

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing
        self._waiting: OrderedDict[str, tuple[Shot, Future[PreviewFrame]]] = OrderedDict()
        self._change = threading.Condition()
        self._closed = False

    def start(self) -> None:
        """Start the thread; it first compiles the kernels or loads them from their cache."""
        threading.Thread(target=self._serve, name="preview", daemon=True).start()

    def close(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()

    def request(self, head_id: str, shot: Shot) -> Future[PreviewFrame]:
        """Ask for a picture. The future fails with Superseded once a newer one of the same head is asked for."""
        future: Future[PreviewFrame] = Future()
        with self._change:
            waiting = self._waiting.get(head_id)
            if waiting is not None and waiting[0].sequence > shot.sequence:
                future.set_exception(_superseded())
                return future
            if waiting is not None and waiting[1].set_running_or_notify_cancel():
                waiting[1].set_exception(_superseded())
            self._waiting[head_id] = (shot, future)  # in the older one's place, so that no head starves the others
            self._change.notify_all()
        return future

    def _serve(self) -> None:
        try:
            warm_up()
        except Exception:  # the first picture tells whoever waits for it
            LOG.exception("The kernels could not be prepared")
        while True:
            with self._change:
                while not self._waiting and not self._closed:
                    self._change.wait()
                if self._closed:
                    return
                _, (shot, future) = self._waiting.popitem(last=False)
            if not future.set_running_or_notify_cancel():
                continue  # its client hung up
            try:
                future.set_result(self._draw(shot))
            except Exception as error:  # goes to the request that waits for it
                future.set_exception(error)

    def _draw(self, shot: Shot) -> PreviewFrame:
        device = self._drawing.now
        try:
            return _draw(shot, device.torch)
        except AvatarError:  # the request is wrong, whatever draws it
            raise
        except Exception as error:
            if device.torch.type == "cpu":
                raise
            return _draw(shot, self._drawing.give_up(error).torch)


def _superseded() -> Superseded:
    return Superseded("A newer picture of this head was asked for.", "Wait for the newer one.")


def _draw(shot: Shot, device: torch.device) -> PreviewFrame:
    began = time.perf_counter()
    picture = render(shot.head.drive(shot.pose, device), shot.camera)
    alpha = picture.alpha[..., None]
    rgb = torch.minimum(picture.rgb.clamp(min=0), alpha)  # colours may overshoot 1, pixels may not
    pixels = (torch.cat((rgb, alpha), dim=-1) * 255).round().clamp(0, 255).to(torch.uint8)
    return PreviewFrame(pixels.numpy().tobytes(), 1e3 * (time.perf_counter() - began))
