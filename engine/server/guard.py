"""Stands before every route: only loopback, only with the token, only bodies of a bounded size."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.server.errors import Forbidden, Refusal, TooLarge, Unauthorized, reply

HOST = re.compile(r"(\[[0-9a-f:]+\]|[^:\[\]]+)(:\d+)?")


class Guard:
    """ASGI middleware; it answers before any of the body is read.

    Args:
        app: what it guards.
        token: that every request must carry as ``Authorization: Bearer TOKEN``.
        body_limit: largest body in bytes for a path.
    """

    def __init__(self, app: ASGIApp, token: str, body_limit: Callable[[str], int]):
        self.app = app
        self.credentials = f"Bearer {token}".encode()
        self.body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.body_limit(scope["path"])
        try:
            self._check(Headers(scope=scope), limit)
        except Refusal as refusal:
            await reply(refusal)(scope, receive, send)
            return
        received = 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        await self.app(scope, bounded, send)

    def _check(self, headers: Headers, limit: int) -> None:
        host = headers.get("host", "")
        if not _is_loopback(host):  # a web page whose name was bound to 127.0.0.1 says its own name here
            raise Forbidden(
                f"Requests to the host {host!r} are not served.", "Use the address that the engine printed."
            )
        if not hmac.compare_digest(headers.get("authorization", "").encode("latin-1"), self.credentials):
            raise Unauthorized("The engine's token is missing or wrong.", "Restart the engine, or check its token.")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limit:
            raise _too_large(limit)


def _is_loopback(host: str) -> bool:
    match = HOST.fullmatch(host.lower())
    if match is None:
        return False
    name = match[1].strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The upload is larger than {limit / 1e6:.0f} MB.", "Send fewer or smaller files.")
