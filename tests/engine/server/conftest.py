"""Real engine processes: one to share, and as many as a test wants to break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from engine import assets
from tests.engine.server.engines import Engine, running


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Engine]]:
    """Start engines that keep their files below ``tmp_path`` and end with the test."""
    with ExitStack() as stack:
        yield lambda *words, **rest: stack.enter_context(running(*words, env={"TMPDIR": str(tmp_path)}, **rest))


@pytest.fixture(scope="session")
def shared() -> Iterator[Engine]:
    """One engine for the tests that leave it as it was."""
    with running() as engine:
        yield engine


@pytest.fixture(scope="session")
def portrait() -> bytes:
    return assets.path("samples/astronaut.png").read_bytes()
