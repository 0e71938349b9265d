"""What use leaves behind is noticed; and a short use leaves nothing."""

import json

import pytest

from engine.benchmark import soak
from engine.benchmark.soak import Round, grown
from engine.cli import main

pytestmark = pytest.mark.slow


def rounds(**growth: float) -> list[Round]:
    """Rounds in which something grows by so much each, beside what always goes up and down."""
    start = {"megabytes": 800.0, "threads": 30, "handles": 40}
    return [
        Round(k / 2, *(value + growth.get(name, 0) * k + (k % 3) for name, value in start.items()), preview_ms=20.0)
        for k in range(12)
    ]


def test_growth_is_told_from_going_up_and_down():
    assert grown(rounds()) == []
    assert "megabytes" in grown(rounds(megabytes=40.0))[0]
    assert "threads" in grown(rounds(threads=1))[0]
    assert "handles" in grown(rounds(handles=1))[0]


def test_a_server_in_use_does_not_grow(monkeypatch, tmp_path):
    monkeypatch.setattr(soak, "PREVIEWS", 8)
    monkeypatch.setattr(soak, "WARM", 1)
    monkeypatch.setattr(soak, "FEWEST", 2)
    monkeypatch.setattr(soak, "JOB", soak.JOB | {"count": "5000", "refine_seconds": "0.1"})
    assert main(["soak", "--minutes", "0", "--json", str(tmp_path / "soak.json")]) == 0
    told = json.loads((tmp_path / "soak.json").read_text())
    assert told["jobs"] == len(told["rounds"]) == 3
