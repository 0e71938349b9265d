"""A process of the server's own, for work that may crash or fill the memory; it ends with the server."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from engine import bootstrap


class Helper:
    """The server's end of the process.

    Args:
        main: a module's function; it is given the process' end of the pipe and calls :func:`begin` first.
        name: the process'.
    """

    def __init__(self, main: Callable[[Connection], None], name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._sending = threading.Lock()
        self._process = context.Process(target=main, args=(theirs,), name=name, daemon=True)
        self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """After its end; negative is the signal that ended it."""
        self._process.join(1)
        return self._process.exitcode

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def send(self, message: Any) -> None:
        """OSError when the process is gone."""
        with self._sending:
            self.connection.send(message)


def begin(yields: bool = True) -> None:
    """What such a process does before anything else.

    Args:
        yields: to other programs; not where something has to be followed as it happens.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server gets it too and ends this process
    bootstrap.claim_stdout()  # the server's standard output belongs to the lines that it prints
    if yields:
        bootstrap.yield_to_others()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)


def ending(code: int | None) -> str:
    """How a process ended, from its exit code: a signal's name, or Windows' status as it is listed everywhere."""
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"signal {-code}"
    return f"status 0x{code:08X}" if code is not None and code > 0xFFFF else f"exit code {code}"
