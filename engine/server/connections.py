"""Connections that nobody holds without the token: whoever sends no whole request in time is dropped, or in the way.

The token is asked for once a request's headers are there (:mod:`engine.server.guard`); this is about what comes before.
"""

from __future__ import annotations

import asyncio
import time

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0  # for a request's headers, from the first byte or, on a new connection, from its start
MOST = 128  # connections; a new one beyond that takes the place of the one that has waited longest


class Connection(H11Protocol):
    """One client's connection, as uvicorn makes them."""

    _deadline: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._since = time.monotonic()
        self._watch()
        open_ones = [c for c in self.connections if isinstance(c, Connection) and not c.transport.is_closing()]
        if len(open_ones) > MOST:
            min((c for c in open_ones if c.is_idle), key=lambda c: c._since, default=self).transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.is_idle:
            self._watch()
        super().data_received(data)
        if not self.is_idle:
            self._since = time.monotonic()
            self._unwatch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _watch(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
