"""Addresses of engines: which are this computer's own, and which may be talked to at all."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ..errors import AddonError


def is_loopback(url: str) -> bool:
    """True where the address is this computer's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_url(url: str) -> str:
    """An engine's address without a slash at its end.

    Raises:
        AddonError: not an address, or unencrypted to another computer, where the token could be read on the way.
    """
    hint = "Write it as http://127.0.0.1:PORT in the preferences, or as https://HOST:PORT for another computer."
    try:
        parts = urlsplit(url.strip())
        complete = bool(parts.hostname) and parts.port is not None or parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        complete = False
    if not complete or parts.scheme not in ("http", "https") or parts.query or parts.fragment or parts.username:
        raise AddonError(f"{url} is not the address of an engine.", hint)
    if parts.scheme == "http" and not is_loopback(url):
        raise AddonError(f"{url} would send photos and the token unencrypted to another computer.", hint)
    return url.strip().rstrip("/")
