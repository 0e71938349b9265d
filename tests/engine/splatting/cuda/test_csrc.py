"""The stand-in for gsplat's compiled half: what it refuses, and how much it launches."""

from __future__ import annotations

import pytest
import torch

from engine.errors import EngineError
from engine.splatting.cuda import csrc

TILES = (16, 3, 2)  # size, columns, rows


class Recorder:
    """A driver that only takes notes."""

    def __init__(self):
        self.launches = []

    def launch(self, kernel, device, grid, block, shared, values):
        self.launches.append((kernel, grid, values))


@pytest.fixture
def launches(monkeypatch):
    found = Recorder()
    monkeypatch.setattr(csrc, "driver", lambda: found)
    return found.launches


def test_a_million_gaussians_are_one_launch(launches):
    means = torch.zeros(1, 3).expand(1_000_000, 3)
    views, Ks = torch.eye(4).expand(1, 4, 4), torch.eye(3).expand(1, 3, 3)
    opacities = torch.ones(1).expand(1_000_000)
    csrc.projection_ewa_3dgs_fused_fwd(
        means, None, torch.ones(1, 4).expand(1_000_000, 4), means, opacities, views, Ks, 48, 32, 0.3, 0.01, 1e10, 0.0,
        False, csrc.PINHOLE,
    )  # fmt: skip
    ((kernel, grid, values),) = launches
    assert (kernel, grid) == ("projection_ewa_3dgs_fused_fwd_kernel", (3907, 1, 1))
    assert (values["B"], values["C"], values["N"]) == (1, 1, 1_000_000)
    assert all(x.is_contiguous() for x in values.values() if isinstance(x, torch.Tensor))


def test_what_the_kernels_cannot_count_is_refused(launches):
    splats = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int32), torch.zeros(1, 2)
    with pytest.raises(EngineError, match="more tiles than") as raised:
        csrc.intersect_tile(*splats, None, None, 2**15, 16, 2**9, 2**9, True, False)
    assert "smaller" in raised.value.hint and not launches


def test_other_channels_and_functions_are_refused_by_name(launches):
    splats = torch.zeros(1, 2, 2), torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.zeros(1, 2)
    tiles = torch.zeros(1, 2, 3, dtype=torch.int32), torch.zeros(0, dtype=torch.int32)
    with pytest.raises(EngineError, match="4 channels, not 3"):
        csrc.rasterize_to_pixels_3dgs_fwd(*splats, None, None, 48, 32, 16, *tiles)
    with pytest.raises(EngineError, match="projection_2dgs_fused_fwd"):
        csrc.projection_2dgs_fused_fwd()
    assert not hasattr(csrc, "__path__") and not launches
