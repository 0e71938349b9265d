"""What a rasteriser says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


class Rasterize(Protocol):
    """See :func:`engine.splatting.rasterization`; shapes are checked already."""

    def __call__(
        self,
        means: torch.Tensor,
        quats: torch.Tensor,
        scales: torch.Tensor,
        opacities: torch.Tensor,
        colors: torch.Tensor,
        viewmats: torch.Tensor,
        Ks: torch.Tensor,
        width: int,
        height: int,
        *,
        near_plane: float,
        backgrounds: torch.Tensor | None,
        visible: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]: ...


@dataclass(frozen=True)
class BackendSpec:
    """One rasteriser.

    Attributes:
        name: of the library that draws. device: torch's type of the tensors that it draws.
        rasterize: draws them.
        order: its place in lists; of two for one device, the first draws.
    """

    name: str
    device: str
    rasterize: Rasterize
    order: int = 100
