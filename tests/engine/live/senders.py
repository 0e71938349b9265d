"""Scripted senders: what apps send, put together anew here from their descriptions."""

from __future__ import annotations

import socket
import struct

import numpy as np
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from engine.arkit import ARKIT_NAMES

# As Unreal's enumeration of blend shapes has them.
UNREAL = """
eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft eyeBlinkRight
eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight jawForward jawLeft jawRight
jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight mouthSmileLeft mouthSmileRight mouthFrownLeft
mouthFrownRight mouthDimpleLeft mouthDimpleRight mouthStretchLeft mouthStretchRight mouthRollLower mouthRollUpper
mouthShrugLower mouthShrugUpper mouthPressLeft mouthPressRight mouthLowerDownLeft mouthLowerDownRight mouthUpperUpLeft
mouthUpperUpRight browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft
cheekSquintRight noseSneerLeft noseSneerRight tongueOut""".split()
FACE_CAP = """browInnerUp browDownLeft browDownRight browOuterUpLeft browOuterUpRight eyeLookUpLeft eyeLookUpRight
eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight eyeBlinkLeft eyeBlinkRight
eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight cheekPuff cheekSquintLeft cheekSquintRight noseSneerLeft
noseSneerRight jawOpen jawForward jawLeft jawRight mouthFunnel mouthPucker mouthLeft mouthRight mouthRollUpper
mouthRollLower mouthShrugUpper mouthShrugLower mouthClose mouthSmileLeft mouthSmileRight mouthFrownLeft mouthFrownRight
mouthDimpleLeft mouthDimpleRight mouthUpperUpLeft mouthUpperUpRight mouthLowerDownLeft mouthLowerDownRight
mouthPressLeft mouthPressRight mouthStretchLeft mouthStretchRight tongueOut""".split()
ZERO = np.zeros((3, 3))
Weights = dict[str, float]


def live_link(
    weights: Weights, turns=ZERO, frame: int = 3_600_000, name: str = "Ada", version: int = 6, rate: int = 60
) -> bytes:
    """A packet of Live Link Face's; ``turns``: pitch, yaw, roll of head, left and right eye."""
    device, subject = b"0F0A6D6B-0B1C-4F6B-9A59-2E5AE2D5A0F3", name.encode()
    values = [weights.get(shape, 0.0) for shape in UNREAL]
    values += [angle for pitch, yaw, roll in turns for angle in (yaw, pitch, roll)]
    head = struct.pack(">Bi", version, len(device)) + device + struct.pack(">i", len(subject)) + subject
    return head + struct.pack(">ifiiB61f", frame, 0.25, rate, 1, 61, *values)


def ifacialmocap(weights: Weights, turns=ZERO, separator: str = "-") -> bytes:
    short = {"Left": "_L", "Right": "_R"}
    words = []
    for name in ARKIT_NAMES:
        side = next((side for side in short if name.endswith(side) and name[: -len(side)] not in ("jaw", "mouth")), "")
        shown = name.removesuffix(side) + short.get(side, "") if separator == "-" else name
        words.append(f"{shown}{separator}{100 * weights.get(name, 0.0):g}")
    head, left, right = (",".join(f"{angle:.6f}" for angle in np.degrees(turn)) for turn in turns)
    return "|".join([*words, f"=head#{head},0.1,0.2,-0.6", f"rightEye#{right}", f"leftEye#{left}", ""]).encode()


def message(address: str, *values):
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build()


def bundle(*parts) -> bytes:
    builder = OscBundleBuilder(IMMEDIATELY)
    for part in parts:
        builder.add_content(part)
    return builder.build().dgram


def vmc(weights: Weights, bones: dict[str, tuple[float, float, float, float]] | None = None) -> bytes:
    """``bones``: quaternions x, y, z, w in Unity's axes."""
    moved = [message("/VMC/Ext/Bone/Pos", name, 0.0, 0.0, 0.0, *turn) for name, turn in (bones or {}).items()]
    moved.append(message("/VMC/Ext/Bone/Pos", "LeftHand", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    shapes = [message("/VMC/Ext/Blend/Val", name.capitalize(), value) for name, value in weights.items()]
    return bundle(*moved, *shapes, message("/VMC/Ext/Blend/Apply"), message("/VMC/Ext/T", 1.0))


def face_cap(weights: Weights, turns=ZERO) -> list:
    """The messages of a frame, in the app's order."""
    head, left, right = np.degrees(turns)
    turned = [message("/HT", 1.0, 2.0, -40.0), message("/HR", *map(float, head))]
    turned += [message("/ELR", *map(float, left[:2])), message("/ERR", *map(float, right[:2]))]
    return turned + [message("/W", place, float(weights.get(name, 0.0))) for place, name in enumerate(FACE_CAP)]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sender:
    """A phone on loopback."""

    def __init__(self, port: int):
        self.port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, packet: bytes) -> None:
        self._socket.sendto(packet, ("127.0.0.1", self.port))

    def close(self) -> None:
        self._socket.close()
