"""gsplat's front on the stand-in card."""

from __future__ import annotations

import sys

import pytest
import torch

from engine.splatting.cuda import binary, csrc, driver, front
from engine.splatting.cuda.binary import Binary
from tests.engine.splatting.cuda.card import IMAGE, NAMES, Card


@pytest.fixture
def fresh_front(monkeypatch):
    """gsplat's front as if nobody had asked for it; what it finds is forgotten afterwards."""
    pytest.importorskip("gsplat")
    monkeypatch.setattr(front, "_has_own", lambda: False)
    monkeypatch.delitem(sys.modules, front.BACKEND, raising=False)
    front.front.cache_clear()
    yield
    front.front.cache_clear()
    sys.modules.pop(front.BACKEND, None)


@pytest.fixture
def card(monkeypatch, fresh_front):
    """A machine with the stand-in card and the kernels, whose memory is the processor's."""
    found = Card()
    made = driver.Driver(found.library, Binary(IMAGE, NAMES))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: found.STREAM)
    monkeypatch.setattr(binary, "is_bundled", lambda: True)
    monkeypatch.setattr(csrc, "driver", lambda: made)
    yield found
    assert not found.errors
    assert found.depth == 0
