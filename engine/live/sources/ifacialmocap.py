"""iFacialMocap's packets (https://www.ifacialmocap.com/for-developer/): text, once the phone was asked for it.

``NAME-VALUE|…|=head#pitch,yaw,roll,x,y,z|rightEye#pitch,yaw,roll|leftEye#pitch,yaw,roll|``, values 0 to 100, angles in
degrees; its second version, and Facemotion3d, write ``NAME&VALUE`` and ARKit's own names.
"""

from __future__ import annotations

import re

import numpy as np

from engine.live.listening import Listener
from engine.live.sample import PLACE, PacketError, Sample, sample_of
from engine.live.spec import SourceSpec, Wish

PORT = 49983
GREETING = b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719"
MOST_FIELDS = 256
WEIGHT = re.compile(r"([A-Za-z]{1,32})(_[LR])?[-&](-?\d{1,6}(?:\.\d{0,9})?)")
SIDES = {"_L": "left", "_R": "right", None: ""}
TURNS = {"=head": 0, "leftEye": 1, "rightEye": 2}


def decode(packet: bytes, now: float) -> Sample:
    """Raises PacketError: this is no face of iFacialMocap's."""
    weights, turns = np.zeros(len(PLACE)), np.zeros((3, 3))
    known = 0
    for field in packet.decode("utf-8", errors="replace").split("|", MOST_FIELDS)[:MOST_FIELDS]:
        name, sign, rest = field.partition("#")
        if sign and name in TURNS:
            turns[TURNS[name]] = np.radians(_numbers(rest))
        elif (weight := WEIGHT.fullmatch(field)) is not None:
            place = PLACE.get(weight[1].lower() + SIDES[weight[2]])
            if place is not None:
                weights[place] = float(weight[3]) / 100
                known += 1
    if not known:
        raise PacketError(
            "A packet is not of iFacialMocap.", "Let only iFacialMocap send to this port, and restart the app."
        )
    return sample_of(now, weights, turns)


def _numbers(text: str) -> list[float]:
    """The first three of a list of numbers."""
    try:
        first, second, third = (float(word[:32]) for word in text.split(",", 3)[:3])
    except ValueError:
        first = second = third = float("nan")  # which sample_of refuses
    return [first, second, third]


def _open(wish: Wish) -> Listener:
    return Listener(wish, PORT, decode, GREETING)


SPEC = SourceSpec(
    name="ifacialmocap",
    label="iFacialMocap",
    description="The app iFacialMocap on an iPhone or iPad: name the phone's address, which the app shows",
    open=_open,
    port=PORT,
    target="Phone",
    order=1,
)
