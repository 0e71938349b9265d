"""What a live source is: a module of :mod:`engine.live.sources` with a ``SPEC``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from engine.live.sample import Sample

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Wish:
    """What to listen to.

    Attributes:
        source: a source's name.
        address: of this machine, on which packets are taken: loopback, unless the user opens it to the network.
        port: 0 for the source's own.
        target: what the source's ``target`` names: a phone's address, a camera's number, a clip's path.
    """

    source: str
    address: str = LOOPBACK
    port: int = 0
    target: str = ""


@dataclass
class Counts:
    """What became of what was sent.

    Attributes:
        dropped: frames that were lost, came too late, could not be read or were skipped for a newer one.
        refused: packets of others than the first sender.
        problem: why the last one could not be used, with the way out; empty once one could.
        ended: the source has nothing more to say, and why.
    """

    dropped: int = 0
    refused: int = 0
    problem: str = ""
    ended: str = ""


class Feed(Protocol):
    """An open source."""

    counts: Counts

    def read(self, seconds: float) -> list[Sample]:
        """What came since the last call, in order; waits for at most so long where that is nothing."""
        ...

    def close(self) -> None:
        """Give port or camera back."""
        ...


@dataclass(frozen=True)
class SourceSpec:
    """A live source.

    Attributes:
        name, label, description: for commands, menus and tooltips.
        open: begins to listen, or opens the camera. Raises EngineError: it cannot.
        port: that its senders use; 0 where none listens.
        target: what :attr:`Wish.target` is here, for people; empty where nothing needs to be named.
        order: in lists; new ones come last.
    """

    name: str
    label: str
    description: str
    open: Callable[[Wish], Feed] = field(repr=False)
    port: int = 0
    target: str = ""
    order: int = 100
