"""Gaussians at the texels of the tracked mesh, coloured from the photos; see :mod:`engine.models.surface`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.device import CPU
from engine.heads.parametric import ParametricHead
from engine.models.head_gaussians import HeadGaussians
from engine.models.spec import SystemSpec
from engine.models.surface import surface
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.tracking.tracked import Tracked


def _reconstruct(
    photos: Sequence[Photo],
    tracked: Tracked,
    head: ParametricHead,
    progress: Progress,
    count: int,
    seconds: float = 0.0,
    device: torch.device = CPU,
) -> HeadGaussians:
    return surface(photos, tracked, head, progress, count)


SPEC = SystemSpec(
    name="surface",
    label="Surface",
    description="The photos painted on the fitted head. Works with every head model and needs no trained weights",
    reconstruct=_reconstruct,
    seconds=0.8,
    seconds_per_gaussian=19e-6,
    order=0,
)
