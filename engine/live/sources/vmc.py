"""The Virtual Motion Capture protocol (https://protocol.vmc.info): blend shapes and bones by OSC.

``/VMC/Ext/Blend/Val name value`` for each shape, then ``/VMC/Ext/Blend/Apply``; ``/VMC/Ext/Bone/Pos name`` with a place
and a quaternion x, y, z, w in Unity's axes (left-handed, x to the avatar's right), against the bone's parent.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from engine.live.listening import Listener
from engine.live.osc import messages
from engine.live.sample import PLACE, PacketError, Sample, sample_of
from engine.live.spec import SourceSpec, Wish

PORT = 39539
VALUE, APPLY, BONE = "/VMC/Ext/Blend/Val", "/VMC/Ext/Blend/Apply", "/VMC/Ext/Bone/Pos"
WANTED = {VALUE.encode(): b"sf", APPLY.encode(): b"", BONE.encode(): b"sfffffff"}
BONES = ("Neck", "Head", "LeftEye", "RightEye")
TO_ENGINE = np.array([1.0, -1.0, -1.0, 1.0])  # a quaternion seen in a mirror across x


class Decoder:
    """Packets of one sender: what it does not name again stays."""

    def __init__(self) -> None:
        self._weights = np.zeros(len(PLACE))
        self._bones = {bone: Rotation.identity() for bone in BONES}
        self._known = False

    def __call__(self, packet: bytes, now: float) -> Sample | None:
        applied = False
        for address, values in messages(packet, WANTED):
            if address == VALUE:
                place = PLACE.get(values[0].lower())
                if place is not None:
                    self._weights[place], self._known = values[1], True
            elif address == BONE and values[0] in BONES:
                self._bones[values[0]] = _rotation(np.array(values[4:]))
            elif address == APPLY:
                applied = True
        if not applied:
            return None
        if not self._known:
            raise PacketError(
                "The sender sends none of ARKit's 52 shapes.", "Switch on Perfect Sync (52 blend shapes) in the sender."
            )
        head = self._bones["Neck"] * self._bones["Head"]
        turns = np.array([bone.as_euler("xyz") for bone in (head, self._bones["LeftEye"], self._bones["RightEye"])])
        return sample_of(now, self._weights.copy(), turns)


def _rotation(quaternion: np.ndarray) -> Rotation:
    length = float(np.linalg.norm(quaternion))
    if not 0.5 < length < 2:  # nan is not, either
        raise PacketError("A packet turns a bone by no rotation.", "Restart the sender.")
    return Rotation.from_quat(quaternion / length * TO_ENGINE)


def _open(wish: Wish) -> Listener:
    return Listener(wish, PORT, Decoder())


SPEC = SourceSpec(
    name="vmc",
    label="VMC",
    description="Programs that send the Virtual Motion Capture protocol with ARKit's 52 shapes (Perfect Sync)",
    open=_open,
    port=PORT,
    order=2,
)
