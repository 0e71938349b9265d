"""Face Cap's live mode (https://www.bannaflak.com/face-cap/livemode.html): OSC, a message for each number.

``/HT x y z`` place of the head, ``/HR pitch yaw roll`` and ``/ELR``, ``/ERR pitch yaw`` in degrees, ``/W index value``.
"""

from __future__ import annotations

import numpy as np

from engine.live.listening import Listener
from engine.live.osc import messages
from engine.live.sample import PLACE, Sample, sample_of
from engine.live.spec import SourceSpec, Wish

PORT = 9000
WANTED = {b"/HT": b"fff", b"/HR": b"fff", b"/ELR": b"ff", b"/ERR": b"ff", b"/W": b"if"}
TURNS = {"/HR": 0, "/ELR": 1, "/ERR": 2}
ORDER = (
    "browInnerUp", "browDownLeft", "browDownRight", "browOuterUpLeft", "browOuterUpRight",
    *(f"eye{part}{side}" for part in ("LookUp", "LookDown", "LookIn", "LookOut", "Blink", "Squint", "Wide")
      for side in ("Left", "Right")),
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "jawOpen", "jawForward", "jawLeft", "jawRight", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    "mouthRollUpper", "mouthRollLower", "mouthShrugUpper", "mouthShrugLower", "mouthClose",
    *(f"mouth{part}{side}" for part in ("Smile", "Frown", "Dimple", "UpperUp", "LowerDown", "Press", "Stretch")
      for side in ("Left", "Right")),
    "tongueOut",
)  # fmt: skip
PLACES = [PLACE[name.lower()] for name in ORDER]


class Decoder:
    """Packets of one sender. A frame is a packet of many messages, or of many packets those until all weights came; as
    single packets may be lost, a weight that comes again begins the next one."""

    def __init__(self) -> None:
        self._weights, self._turns = np.zeros(len(PLACES)), np.zeros((3, 3))
        self._came: set[int] = set()

    def __call__(self, packet: bytes, now: float) -> Sample | None:
        frame, count = None, 0
        for address, values in messages(packet, WANTED):
            count += 1
            if address in TURNS:
                self._turns[TURNS[address], : len(values)] = np.radians(values)
            elif address == "/W" and 0 <= values[0] < len(PLACES):
                if values[0] in self._came:
                    frame = self._frame(now)
                self._weights[PLACES[values[0]]] = values[1]
                self._came.add(values[0])
        return self._frame(now) if self._came and (count > 1 or len(self._came) == len(PLACES)) else frame

    def _frame(self, now: float) -> Sample:
        self._came.clear()
        return sample_of(now, self._weights.copy(), self._turns.copy())


def _open(wish: Wish) -> Listener:
    return Listener(wish, PORT, Decoder())


SPEC = SourceSpec(
    name="facecap",
    label="Face Cap",
    description="The app Face Cap on an iPhone or iPad, in its live mode",
    open=_open,
    port=PORT,
    order=3,
)
