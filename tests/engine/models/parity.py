"""Reads the reference results in ``fixtures/`` and compares with them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.models.kit.encoders import DinoConfig
from engine.models.kit.uv_estimator import UVEstimatorConfig
from engine.models.uika import UIKA

FIXTURES = Path(__file__).parent / "fixtures"
TOLERANCE = 2e-5  # of max(1, largest reference value): fixtures/README.md

TINY_ESTIMATOR = UVEstimatorConfig(DinoConfig(48, 3, 3, frozen=False), (16, 24, 32, 40), 32)
TINY_UIKA = UIKA(
    image_size=64,
    encoder=DinoConfig(48, 12, 3),
    taps=(2, 5, 8, 11),
    width=64,
    heads=4,
    depth=4,
    side=8,
    dpt_widths=(16, 24, 32, 40),
    dpt_width=32,
    map_width=24,
    mlp_width=48,
    feature_width=40,
    estimator=TINY_ESTIMATOR,
)


def tensors(name: str) -> dict[str, torch.Tensor]:
    """A fixture's tensors by name."""
    return load_file(FIXTURES / f"{name}.safetensors")


def layout(name: str) -> dict:
    """An official checkpoint's names -> [shape, dtype, kind, ...]; see fixtures/README.md."""
    return json.loads(gzip.decompress((FIXTURES / "layouts" / f"{name}.json.gz").read_bytes()))


def same(ours: torch.Tensor, reference: torch.Tensor) -> None:
    assert ours.shape == reference.shape
    bound = TOLERANCE * max(1.0, reference.abs().max().item())
    assert (ours - reference).abs().max().item() == pytest.approx(0, abs=bound)
