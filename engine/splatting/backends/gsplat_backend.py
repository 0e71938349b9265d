"""The CUDA rasteriser: gsplat's 3D Gaussian splatting."""

from __future__ import annotations

import torch

from engine.splatting.cuda.front import front
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
    finite = torch.stack([x.detach().isfinite().all(-1) for x in (means, quats, scales, opacities[:, None], colors)])
    kept = finite.all(0) if visible is None else finite.all(0) & visible.to(means.device)
    opacities = torch.where(kept, opacities, 0.0)  # gsplat culls what is below its alpha cut-off
    splats = [x.float() for x in (means, quats, scales, opacities, colors)]
    if not len(means):  # gsplat divides by their number: one that nobody sees stands in for none
        splats = [torch.nn.functional.pad(x, (0, 0) * (x.dim() - 1) + (0, 1)) for x in splats]
    renders, alphas, meta = front()(
        *splats,
        viewmats.to(means.device).float(),
        Ks.to(means.device).float(),
        width,
        height,
        near_plane=near_plane,
        far_plane=FAR_PLANE,
        eps2d=EPS2D,
        tile_size=TILE,
        packed=False,
        backgrounds=None if backgrounds is None else backgrounds.to(means.device).float(),
        render_mode="RGB+D",
    )
    return renders, alphas, {name: meta[name].detach()[:, : len(means)] for name in ("radii", "means2d", "depths")}


SPEC = BackendSpec(name="gsplat", device="cuda", rasterize=rasterize, order=1)
