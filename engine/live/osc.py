"""Messages of Open Sound Control in a packet: those that are wanted, of the types that are wanted.

Bundles are taken apart here: python-osc 1.10.2 never returns from one that states a negative size, and writes a line to
the log for every type that it does not know.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from pythonosc.osc_message import OscMessage, ParseError

from engine.live.sample import PacketError

BUNDLE, BUNDLE_HEADER = b"#bundle\0", 16
MOST_MESSAGES = 512
DEEPEST = 4
LARGEST = 1e6


def messages(packet: bytes, wanted: Mapping[bytes, bytes]) -> Iterator[tuple[str, list[Any]]]:
    """Address and values of a packet's messages.

    Args:
        wanted: address -> types, such as ``if``. All other messages are passed over.

    Raises:
        PacketError: the packet is damaged, or has something that is no number.
    """
    for number, message in enumerate(_unpacked(packet, DEEPEST)):
        if number >= MOST_MESSAGES:
            raise _damaged()
        address, end, _ = message.partition(b"\0")
        types = wanted.get(address)
        if types is None or not end:
            continue
        start = len(address) // 4 * 4 + 4  # texts end with a zero and fill whole words
        if message[start:].partition(b"\0")[0] != b"," + types:
            if types or message[start:]:
                raise _damaged()
        try:
            values = list(OscMessage(message))
        except (ParseError, UnicodeDecodeError) as error:  # the latter for texts, which python-osc lets through
            raise _damaged() from error
        if not all(isinstance(value, str) or abs(value) <= LARGEST for value in values):  # nan is not, either
            raise _damaged()
        yield address.decode(), values


def _unpacked(packet: bytes, depth: int) -> Iterator[bytes]:
    if not packet.startswith(BUNDLE):
        if not packet.startswith(b"/"):
            raise _damaged()
        yield packet
        return
    place = BUNDLE_HEADER
    while place < len(packet):
        if not depth or place + 4 > len(packet):
            raise _damaged()
        (size,) = struct.unpack_from(">i", packet, place)
        place += 4
        if not 0 < size <= len(packet) - place:
            raise _damaged()
        yield from _unpacked(packet[place : place + size], depth - 1)
        place += size


def _damaged() -> PacketError:
    return PacketError("A packet is damaged, or no OSC message of this kind.", "Let only one app send to this port.")
