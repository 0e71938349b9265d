"""What is measured of memory and of the per-view part, against sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from engine.benchmark import context
from engine.benchmark.measure import median_seconds, peak_bytes
from engine.models.kit.registration import RegistrationConfig
from engine.models.match import MATCH, MatchNetwork
from engine.progress import Progress

CPU = torch.device("cpu")
TINY = replace(MATCH.small(), registration=RegistrationConfig(64, 8, 8, 6), width=64, heads=2, pairs=2)


def test_peak_counts_what_is_held_at_once():
    kept = torch.ones(500_000)  # from before: not counted

    def work() -> None:
        first = torch.ones(1_000_000)
        second = first + 1
        del first
        third = torch.ones(2_000_000)
        del second, third
        torch.ones(10)

    assert peak_bytes(work, CPU) == 4 * 3_000_000
    assert len(kept) == 500_000


def test_medians_leave_the_warm_up_out():
    calls = []
    median_seconds(lambda: calls.append(0), CPU, repeats=3, warm_up=2)
    assert len(calls) == 5


@pytest.mark.parametrize("photos", [1, 3])
def test_the_per_view_part_is_what_it_says(photos):
    """Its arithmetic, counted by hand, grows in proportion to the photos."""
    network = MatchNetwork(TINY).eval()
    tokens = torch.randn(1, photos, 64, TINY.width)
    counter = FlopCounterMode(display=False)  # which does not know the CPU's fused attention
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        context._per_view_part(network, tokens)
    width, hidden, number = 64, 256, 64 * photos
    block = number * 2 * width * (4 * width + 3 * hidden)  # projections and SwiGLU
    within = photos * 2 * 2 * 64 * 64 * width  # queries · keys, weights · values
    assert counter.get_total_flops() == 2 * block + (block + within)


@pytest.mark.slow
def test_costs_become_rows_and_a_picture(tmp_path):
    rows = context.context_costs(Progress(), TINY, size=64, photos=(1, 4))
    assert [row["photos"] for row in rows] == [1, 4]
    assert all(row[f"{part}_mb"] > 0 for row in rows for part in ("guided", "dense", "registration", "per_view"))
    assert rows[1]["per_view_mb"] == pytest.approx(4 * rows[0]["per_view_mb"], rel=0.1)
    context.write_plot(rows, tmp_path / "cost.png")
    with Image.open(tmp_path / "cost.png") as picture:
        assert picture.width > 500 and len(picture.convert("RGB").getcolors(100_000)) > 20
