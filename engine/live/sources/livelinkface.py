"""Live Link Face's packets, as Epic's phone app sends them to Unreal.

Big-endian: uint8 version; device id and subject name, each an int32 length and so many bytes (of a negative one, so
many UTF-16 units); int32 frame of the day and float32 part of it; int32 numerator and denominator of the frame rate;
uint8 count; float32 values in the order of Unreal's ``EARFaceBlendShape``, angles in radians. Versions before 6 had
other time codes and were not sent by the app.
"""

from __future__ import annotations

import struct

import numpy as np

from engine.live.listening import Listener
from engine.live.sample import PLACE, PacketError, Sample, sample_of
from engine.live.spec import SourceSpec, Wish

PORT, VERSION = 11111, 6
NAME_BYTES = 512
TIME = struct.Struct(">ifiiB")
ORDER = (
    *(f"eye{part}{side}" for side in ("Left", "Right") for part in
      ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")),
    "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft",
    "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp",
    "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)  # fmt: skip
PLACES = [PLACE[name.lower()] for name in ORDER]
COUNT = len(ORDER) + 9  # and yaw, pitch, roll of head, left and right eye
PAUSE = 60  # frames; a larger step in their numbers is a pause, not a loss


class Decoder:
    """Packets of one sender."""

    def __init__(self) -> None:
        self._frame = -(2**31)

    def __call__(self, packet: bytes, now: float) -> Sample:
        if packet[:1] != bytes([VERSION]):
            raise _other_version(packet)
        _, place = _text(packet, 1)
        name, place = _text(packet, place)
        if len(packet) < place + TIME.size:
            raise _damaged()
        frame, part, rate, per, count = TIME.unpack_from(packet, place)
        values = packet[place + TIME.size :]
        if count != COUNT or len(values) != 4 * COUNT or not (0 < rate <= 1_000_000 and 0 < per <= 1_000_000):
            raise _damaged()
        table = np.frombuffer(values, ">f4").astype(np.float64)
        weights = np.zeros(len(ORDER))
        weights[PLACES] = table[: len(ORDER)]
        turns = table[len(ORDER) :].reshape(3, 3)[:, [1, 0, 2]]
        skipped, self._frame = frame - self._frame - 1, frame
        missed = skipped if 0 < skipped < PAUSE else 0
        return sample_of((frame + part) * per / rate, weights, turns, name, missed)


def _text(packet: bytes, place: int) -> tuple[str, int]:
    """A text of a packet, and where it ends."""
    if len(packet) < place + 4:
        raise _damaged()
    (length,) = struct.unpack_from(">i", packet, place)
    size = length if length >= 0 else -2 * length
    end = place + 4 + size
    if size > NAME_BYTES or end > len(packet):
        raise _damaged()
    return packet[place + 4 : end].decode("utf-8" if length >= 0 else "utf-16-be", errors="replace"), end


def _other_version(packet: bytes) -> PacketError:
    version = packet[0] if packet else 0
    if 0 < version < VERSION:
        return PacketError(
            f"The packets are of Live Link's version {version}; {VERSION} is read.", "Update the app on the phone."
        )
    return PacketError(
        f"The packets are not of Live Link Face's version {VERSION}, but {version}.",
        "Choose Live Link (ARKit) in the app, not MetaHuman Animator; otherwise update this program.",
    )


def _damaged() -> PacketError:
    return PacketError("A packet is damaged, or not of Live Link Face.", "Let only Live Link Face send to this port.")


def _open(wish: Wish) -> Listener:
    return Listener(wish, PORT, Decoder())


SPEC = SourceSpec(
    name="livelinkface",
    label="Live Link Face",
    description="Epic's app on an iPhone or iPad: set this machine's address as its target, in ARKit mode",
    open=_open,
    port=PORT,
    order=0,
)
