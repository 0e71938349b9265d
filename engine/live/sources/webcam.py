"""A camera of this machine, opened by the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.live.sample import time_of_day
from engine.live.spec import SourceSpec, Wish

if TYPE_CHECKING:
    import cv2

    from engine.live.watching import Picture, Watcher

LOST = 30  # pictures in a row that do not come, after which the camera is gone


def _open(wish: Wish) -> Watcher:
    import cv2  # large, as all that looks for faces, and for those who listen to a phone needless

    from engine.heads import load_head
    from engine.live.watching import Watcher

    number = int(wish.target or "0") if re.fullmatch(r"[0-9]{0,2}", wish.target) else -1
    if number < 0:
        raise EngineError(f"{wish.target} is no camera.", "Give its number: 0 for the first one.")
    camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        camera.release()
        raise EngineError(
            f"Camera {number} cannot be opened: it is missing, or another program uses it.",
            "Connect it, close the other program, and allow this one to use the camera in the system's settings.",
        )
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what waits in a driver is late
    if not camera.read()[0]:
        camera.release()
        raise EngineError(
            f"Camera {number} gives no picture: another program may be using it.",
            "Close the other program, or choose another camera.",
        )
    return Watcher(_pictures(camera), load_head())


def _pictures(camera: cv2.VideoCapture) -> Iterator[Picture]:
    import cv2

    from engine.photos.decode import scale_down

    try:
        lost = 0
        while lost < LOST:
            read, frame = camera.read()
            lost = 0 if read else lost + 1
            if read:
                yield time_of_day(), scale_down(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        raise EngineError("The camera gives no pictures any more.", "Connect it again and start anew.")
    finally:
        camera.release()


SPEC = SourceSpec(
    name="webcam",
    label="Webcam",
    description="A camera of this machine. Look into it, at rest, for a second at the beginning",
    open=_open,
    target="Camera",
    order=4,
)
