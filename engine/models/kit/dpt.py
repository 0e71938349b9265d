"""Four depths of tokens to one fine map (DPT, arXiv 2103.13413), in the two forms that UIKA uses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class DPTConfig:
    """What a DPT is like.

    Attributes:
        in_width: channels of the tokens. widths: of the four maps, finest first. width: of the result.
        guide: channels of a picture that is laid beside every map; 0 for none.
        relu_skip: the residual units add relu(x) instead of x. Released networks whose activations overwrite their
            input in place were trained so.
        align_corners: how maps are enlarged.
        place: how strongly a fixed code of places is added to every map; 0 for none.
        final: the finest map is enlarged by this at the end.
    """

    in_width: int
    widths: tuple[int, int, int, int]
    width: int
    guide: int = 0
    relu_skip: bool = False
    align_corners: bool = False
    place: float = 0.0
    final: int = 1


class DPT(nn.Module):
    """The trunk: tokens of four depths on one grid h × w become a map of 4 h · final × 4 w · final."""

    def __init__(self, config: DPTConfig):
        super().__init__()
        self.config = config
        a, b, c, d = config.widths
        self.projects = nn.ModuleList(nn.Conv2d(config.in_width, each, 1) for each in config.widths)
        self.resizes = nn.ModuleList(
            [nn.ConvTranspose2d(a, a, 4, 4), nn.ConvTranspose2d(b, b, 2, 2), nn.Identity(), nn.Conv2d(d, d, 3, 2, 1)]
        )
        inputs = [each + config.guide for each in (a, b, c, d)]
        self.narrow = nn.ModuleList(nn.Conv2d(each, config.width, 3, padding=1, bias=False) for each in inputs)
        self.fusions = nn.ModuleList(_Fusion(config, deepest=depth == 3) for depth in range(4))

    def forward(
        self, tokens: list[torch.Tensor], rows: int, aspect: float = 1.0, guide: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Fuse.

        Args:
            tokens: four of [N, h · w, in_width], the shallowest first. rows: h.
            aspect: image width / height, for the places.
            guide: [N, G, any, any].

        Returns:
            [N, width, 4 h · final, 4 w · final].
        """
        maps = []
        for depth, each in enumerate(tokens):
            plane = self.projects[depth](each.transpose(1, 2).unflatten(2, (rows, -1)))
            plane = self.resizes[depth](add_places(plane, aspect, self.config.place))
            if guide is not None:
                plane = torch.cat((plane, fit_guide(guide, plane)), dim=1)
            maps.append(self.narrow[depth](plane))
        fused = None
        for depth in (3, 2, 1, 0):
            height, width = maps[max(depth - 1, 0)].shape[-2:]
            grow = self.config.final if depth == 0 else 1
            fused = self.fusions[depth](maps[depth], fused, (grow * height, grow * width))
        assert fused is not None
        return fused


class _Fusion(nn.Module):
    def __init__(self, config: DPTConfig, deepest: bool):
        super().__init__()
        self.align_corners = config.align_corners
        self.unit = _ResidualUnit(config.width, config.relu_skip)
        self.skip_unit = None if deepest else _ResidualUnit(config.width, config.relu_skip)
        self.out = nn.Conv2d(config.width, config.width, 1)

    def forward(self, skip: torch.Tensor, deeper: torch.Tensor | None, size: tuple[int, int]) -> torch.Tensor:
        x = skip if self.skip_unit is None else deeper + self.skip_unit(skip)
        # The 1 × 1 convolution and the enlargement commute; on the small map it is cheaper.
        return enlarge(self.out(self.unit(x)), size, self.align_corners)


class _ResidualUnit(nn.Module):
    def __init__(self, width: int, relu_skip: bool):
        super().__init__()
        self.relu_skip = relu_skip
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = functional.relu(x)
        return (active if self.relu_skip else x) + self.conv2(functional.relu(self.conv1(active)))


def enlarge(x: torch.Tensor, size: tuple[int, int], align_corners: bool) -> torch.Tensor:
    """Bilinear [N, C, h, w] to [N, C, *size]."""
    return functional.interpolate(x, size, mode="bilinear", align_corners=align_corners)


def fit_guide(guide: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A picture [N, G, H, W] at the size of a map [N, C, h, w], without aliasing."""
    size = (like.shape[-2], like.shape[-1])
    return functional.interpolate(guide, size, mode="bilinear", align_corners=False, antialias=True)


def add_places(x: torch.Tensor, aspect: float, strength: float, base: float = 100.0) -> torch.Tensor:
    """Add a fixed code of each pixel's place, scaled by ``strength``, to a map [N, C, h, w] (VGGT's).

    Places lie in a rectangle of the image's aspect with diagonal 2; half of the channels code x, half y, each as sines
    and cosines at frequencies from 1 down to nearly 1 / base.
    """
    if strength == 0:
        return x
    channels, height, width = x.shape[1:]
    diagonal = (aspect**2 + 1) ** 0.5
    frequencies = base ** (-torch.arange(channels // 4, device=x.device, dtype=x.dtype) / (channels // 4))
    codes = []
    for count, extent in ((width, aspect / diagonal), (height, 1 / diagonal)):
        reach = extent * (count - 1) / count
        angles = frequencies[:, None] * torch.linspace(-reach, reach, count, device=x.device, dtype=x.dtype)
        codes.append(torch.cat((angles.sin(), angles.cos())))  # [C/2, count]
    across = codes[0][:, None, :].expand(-1, height, -1)
    downward = codes[1][:, :, None].expand(-1, -1, width)
    return x + strength * torch.cat((across, downward))
