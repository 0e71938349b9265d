"""What the export formats for splat viewers share: which splats go out, and in which axes."""

from __future__ import annotations

import numpy as np
import torch

from engine.gaussians.gaussians import Splats

VISIBLE = 1 / 255  # fainter splats never reach a pixel (gsplat's cut-off)


def turn_over(splats: Splats) -> Splats:
    """Half a turn about x: engine axes (y up, face toward +z) to COLMAP's (y down, face toward -z), and back.

    Splat files carry no axes; trainers write COLMAP's world, in which y points down, and viewers expect it.
    """
    w, x, y, z = splats.quats.unbind(-1)
    return Splats(
        means=splats.means * splats.means.new_tensor((1.0, -1.0, -1.0)),
        quats=torch.stack((-x, w, -z, y), dim=-1),
        scales=splats.scales,
        opacities=splats.opacities,
        colors=splats.colors,
    )


def visible(splats: Splats) -> dict[str, np.ndarray]:
    """Arrays [n, ...] float32 of the splats that can be seen, by field name."""
    keep = splats.opacities >= VISIBLE
    return {name: value[keep].detach().cpu().float().numpy() for name, value in vars(splats).items()}
