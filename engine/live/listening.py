"""Listens for packets on one UDP port: of the first sender only, each of a bounded size, none of them kept."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
import time
from collections.abc import Callable

from engine.errors import EngineError
from engine.live.sample import PacketError, Sample, time_of_day
from engine.live.spec import Counts, Wish

MOST_BYTES = 16_384  # of a packet; whole faces take 300 to 4 000
BURST = 512  # packets read at once, before anybody else has a turn
SILENT = 2.0  # s without a packet, after which the first sender may come back from another port of the same machine
AGAIN = 1.0  # s between greetings while nothing comes

Decode = Callable[[bytes, float], Sample | None]
"""A packet's bytes and the time of day, s, to a sample; None while more packets belong to it.
Raises PacketError."""


class Listener:
    """A :class:`~engine.live.spec.Feed` of packets.

    Args:
        wish: address and port.
        port: where the wish names none.
        decode: what the packets mean.
        greeting: sent to the wish's target, at the same port, until something comes: some phones wait to be asked.

    Raises:
        EngineError: the address is not this machine's, or the port is taken.
    """

    def __init__(self, wish: Wish, port: int, decode: Decode, greeting: bytes = b""):
        self.counts = Counts()
        if wish.target and greeting:
            _check_address(wish.target)
        self._socket = _bind(wish.address, wish.port or port)
        self.port: int = self._socket.getsockname()[1]
        self._decode, self._greeting = decode, greeting
        self._phone = (wish.target, port) if wish.target and greeting else None
        self._midnight = time.monotonic() - time_of_day()
        self._sender: tuple[str, int] | None = None
        self._heard = self._greeted = -float("inf")

    def read(self, seconds: float) -> list[Sample]:
        self._greet()
        found: list[Sample] = []
        self._socket.settimeout(max(seconds, 1e-3))
        for _ in range(BURST):
            try:
                packet, sender = self._socket.recvfrom(MOST_BYTES + 1)
            except (TimeoutError, BlockingIOError):
                break
            except OSError:  # what Windows says of a packet that was too long, or of a greeting that nobody took
                self.counts.dropped += 1
                continue
            self._socket.settimeout(0)
            if (sample := self._take(packet, sender[:2])) is not None:
                found.append(sample)
        return found

    def close(self) -> None:
        self._socket.close()

    def _take(self, packet: bytes, sender: tuple[str, int]) -> Sample | None:
        now = time.monotonic()
        if self._sender is not None and sender != self._sender:
            if sender[0] != self._sender[0] or now - self._heard < SILENT:
                self.counts.refused += 1
                return None
        try:
            if len(packet) > MOST_BYTES:
                raise PacketError("A packet is too long to be a face.", "Let only the face's app send to this port.")
            sample = self._decode(packet, now - self._midnight)
        except PacketError as error:
            self.counts.dropped += 1
            self.counts.problem = str(error)
            return None
        self._sender, self._heard = sender, now
        if sample is not None:
            self.counts.dropped += sample.missed
            self.counts.problem = ""
        return sample

    def _greet(self) -> None:
        now = time.monotonic()
        if self._phone is None or now - max(self._heard, self._greeted) < AGAIN:
            return
        self._greeted = now
        try:
            self._socket.sendto(self._greeting, self._phone)
        except OSError as error:
            what = f"{self._phone[0]} cannot be reached ({error.strerror or error})."
            self.counts.problem = f"{what} Check the phone's address, and listen on the network instead of loopback."


def _check_address(text: str) -> None:
    try:
        ipaddress.IPv4Address(text)  # a name would be looked up, which may take seconds
    except ValueError as error:
        raise EngineError(f"{text} is no address.", "Copy the four numbers that the phone's app shows.") from error


def _bind(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if sys.platform == "win32":  # there, another program could otherwise take the same port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        listener.bind((address, port))
    except (OSError, OverflowError) as error:
        listener.close()
        if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES):
            raise EngineError(
                f"Port {port} of {address} is taken.",
                "Close the other program that listens there, or choose another port here and in the sender.",
            ) from error
        raise EngineError(
            f"{address}, port {port}, cannot be listened on ({getattr(error, 'strerror', None) or error}).",
            "Use 127.0.0.1 for this machine alone, or 0.0.0.0 for the network.",
        ) from error
    return listener
