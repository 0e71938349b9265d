"""From numbers to Gaussians: one table that says, for every network, how raw outputs become attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from engine.gaussians.gaussians import Splats

OBSERVED = 4
"""Channels of what photos say of a point: colour, and how sure it is."""


@dataclass(frozen=True)
class GaussianTable:
    """How one network's raw outputs are read.

    Attributes:
        offset_range: metres; offsets from the anchor are ± this, through a sigmoid.
        scale: "exp": exp(x), at most ``scales[1]``. "blend": from ``scales[1]`` at x = -∞ down to ``scales[0]`` at +∞.
        scales: metres, smallest and largest standard deviation.
        opacity_shift: added before the sigmoid.
        color: "direct": sigmoid. "skip": observed colour plus a correction in -1..1, not clamped. "mix": w c + (1 - w)
            times the observed colour, with w as a fourth output.
        gains: per attribute in the order of its raw outputs, the output layer's initial weights in units of Xavier's.
        biases: likewise, the output layer's initial bias; None for layers without biases.
        trust: only for "mix": the initial weight by which the observation's confidence, the last of the colour layer's
            extra inputs, lowers w.
    """

    offset_range: float
    scale: Literal["exp", "blend"]
    scales: tuple[float, float]
    opacity_shift: float
    color: Literal["direct", "skip", "mix"]
    gains: tuple[float, float, float, float, float]
    biases: tuple[tuple[float, ...], ...] | None = None
    trust: float = 0.0

    @property
    def channels(self) -> dict[str, int]:
        """Raw outputs per Gaussian and attribute."""
        return {"offset": 3, "scale": 3, "rotation": 4, "opacity": 1, "color": 4 if self.color == "mix" else 3}

    def split(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Raw outputs side by side [..., all channels] to raw outputs per attribute."""
        return dict(zip(self.channels, flat.split(tuple(self.channels.values()), dim=-1), strict=True))


def on_the_surface(color: Literal["direct", "skip", "mix"], reach: float) -> GaussianTable:
    """A start for short trainings (ours): opaque Gaussians on their anchors in the colours seen, whose rotations and
    scales are those of the anchors, quaternions in the triangles' frames and scales as factors.

    Args:
        reach: metres, range of the offsets.
    """
    channels = 4 if color == "mix" else 3
    unsure = -1.0  # w = 0.27 where no photo shows a place, whose colour is only guessed then; less where one does
    return GaussianTable(
        offset_range=reach,
        scale="exp",
        scales=(0.05, 6.0),
        opacity_shift=0.0,
        color=color,
        gains=(0.02, 0.1, 0.1, 0.1, 0.1),
        biases=(
            (0.0,) * 3,
            (0.0,) * 3,
            (1.0, 0.0, 0.0, 0.0),
            (3.0,),
            (0.0, 0.0, 0.0, unsure)[:channels],
        ),
        trust=2.0,
    )


class GaussianHeads(nn.Module):
    """One linear layer per attribute.

    Args:
        width: C of the features.
        count: Gaussians per feature vector (texels of a patch).
        color_width: extra channels that only the colour's layer sees, after the features.
    """

    def __init__(self, table: GaussianTable, width: int, count: int = 1, color_width: int = 0):
        super().__init__()
        self.layers = nn.ModuleDict()
        for a, (name, channels) in enumerate(table.channels.items()):
            extra = color_width if name == "color" else 0
            layer = nn.Linear(width + extra, count * channels, bias=table.biases is not None)
            nn.init.xavier_uniform_(layer.weight)
            with torch.no_grad():
                layer.weight.mul_(table.gains[a])
                if table.biases is not None:
                    layer.bias.copy_(torch.tensor(table.biases[a]).repeat(count))
                if name == "color" and table.color == "mix" and color_width:
                    layer.weight[3::4, -1] -= table.trust
            self.layers[name] = layer

    def forward(self, features: torch.Tensor, color_features: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """[..., C] (and [..., color_width]) to raw outputs per attribute [..., count · channels]."""
        colorful = features if color_features is None else torch.cat((features, color_features), dim=-1)
        return {name: layer(colorful if name == "color" else features) for name, layer in self.layers.items()}


def activate(
    table: GaussianTable, raw: dict[str, torch.Tensor], anchors: torch.Tensor, observed: torch.Tensor | None = None
) -> Splats:
    """Raw outputs to Gaussians; everything keeps its leading axes ([B, N] or [B, R, R]).

    Args:
        raw: per attribute [..., channels].
        anchors: [..., 3] metres, where a Gaussian lies at offset 0.
        observed: [..., 3], the photos' colour there; only for "skip" and "mix".

    Returns:
        Splats with ``opacities`` [...] and the other fields [..., 3 or 4].
    """
    offset = table.offset_range * (2 * raw["offset"].sigmoid() - 1)
    smallest, largest = table.scales
    if table.scale == "exp":
        scales = raw["scale"].exp().clamp(smallest, largest)
    else:
        share = raw["scale"].sigmoid()
        scales = smallest * share + largest * (1 - share)
    color = raw["color"].sigmoid()
    if table.color != "direct":
        assert observed is not None
        if table.color == "skip":
            color = 2 * color - 1 + observed
        else:
            color = color[..., 3:] * color[..., :3] + (1 - color[..., 3:]) * observed
    return Splats(
        means=anchors + offset,
        quats=functional.normalize(raw["rotation"], dim=-1),
        scales=scales,
        opacities=(raw["opacity"] + table.opacity_shift).sigmoid().squeeze(-1),
        colors=color,
    )
