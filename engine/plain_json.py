"""JSON from strangers, read without going deep: what nests deeper than anything of ours is refused unread."""

from __future__ import annotations

import json
import re
from typing import Any

DEPTH = 64  # brackets within brackets; ours nest a handful
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]')


def parse(text: str) -> Any:
    """The value that a text holds. The engine and the add-on, which never import each other, each have this file.

    Python's own parser stops such nesting too, at its limit of recursion. But whatever else is set free at that
    depth, a socket of another thread for example, is then closed without the room to do so.

    Raises:
        ValueError: no JSON, NaN and infinities included, or nested deeper than :data:`DEPTH`.
    """
    depth = 0
    for mark in _MARKS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        if depth > DEPTH:
            raise ValueError(f"nested deeper than {DEPTH} levels")
    return json.loads(text, parse_constant=_reject)


def _reject(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")
