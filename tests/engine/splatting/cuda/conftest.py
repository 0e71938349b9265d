"""gsplat's front on the stand-in card."""

from __future__ import annotations

import sys

import pytest
import torch

from engine.splatting.cuda import binary, csrc, driver, front
from engine.splatting.cuda.binary import Binary
from tests.engine.splatting.cuda.card import IMAGE, NAMES, Card


@pytest.fixture
def card(monkeypatch):
    """A machine with the stand-in card and the kernels, whose memory is the processor's."""
    pytest.importorskip("gsplat")
    found = Card()
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: found.STREAM)
    monkeypatch.setattr(binary, "is_bundled", lambda: True)
    monkeypatch.setattr(csrc, "driver", lambda: made)
    monkeypatch.setitem(sys.modules, front.BACKEND, None)
    front.front.cache_clear()
    made = driver.Driver(found.library, Binary(IMAGE, NAMES))
    yield found
    front.front.cache_clear()
    assert not found.errors, found.errors
    assert found.depth == 0
