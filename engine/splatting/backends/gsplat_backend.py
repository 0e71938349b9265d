"""The CUDA rasteriser: gsplat's 3D Gaussian splatting."""

from __future__ import annotations

import torch

from engine.errors import EngineError
from engine.splatting.kernels.constants import EPS2D, FAR_PLANE, TILE
from engine.splatting.spec import BackendSpec


def rasterize(
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
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """See :func:`engine.splatting.rasterization`."""
    try:
        from gsplat import rasterization
    except ImportError as error:
        raise EngineError(
            "The GPU rasteriser gsplat is not installed.", "Install gsplat 1.5.3, or run on the CPU."
        ) from error
    finite = torch.stack([x.detach().isfinite().all(-1) for x in (means, quats, scales, opacities[:, None], colors)])
    kept = finite.all(0) if visible is None else finite.all(0) & visible
    renders, alphas, meta = rasterization(
        means,
        quats,
        scales,
        torch.where(kept, opacities, 0.0),  # gsplat culls what is below its alpha cut-off
        colors,
        viewmats,
        Ks,
        width,
        height,
        near_plane=near_plane,
        far_plane=FAR_PLANE,
        eps2d=EPS2D,
        tile_size=TILE,
        packed=False,
        backgrounds=backgrounds,
        render_mode="RGB+D",
    )
    return renders, alphas, {name: meta[name].detach() for name in ("radii", "means2d", "depths")}


SPEC = BackendSpec(name="gsplat", device="cuda", rasterize=rasterize, order=1)
