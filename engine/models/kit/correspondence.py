"""Where on the UV map each pixel of a photo lies, and the provider that reads it off a tracked mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.gaussians.mesh_raster import rasterize_mesh


@dataclass(frozen=True)
class Correspondence:
    """Pixels to skin, for B people with V photos each. Both providers give it: a tracked mesh, or the UV estimator.

    Attributes:
        uv: [B, V, 2, H, W] 0..1, u to the right and v **down**, as a texture's columns and rows run.
        mask: [B, V, 1, H, W], above 0 where ``uv`` means something.
        confidence: [B, V, H, W]; 1 from a mesh, 1 and more from the estimator.
    """

    uv: torch.Tensor
    mask: torch.Tensor
    confidence: torch.Tensor


def mesh_correspondence(
    vertices: Sequence[np.ndarray],
    faces: np.ndarray,
    uv: np.ndarray,
    uv_faces: np.ndarray,
    viewmats: np.ndarray,
    Ks: np.ndarray,
    height: int,
    width: int,
) -> Correspondence:
    """The correspondence of one person's photos from the mesh that was tracked in them.

    Args:
        vertices: V arrays [N, 3] metres, as the head looks in each photo.
        faces: [F, 3]. uv: [T, 2], v up. uv_faces: [F, 3] into ``uv``.
        viewmats: [V, 4, 4] world to camera. Ks: [V, 3, 3] in pixels of height × width.

    Returns:
        For B = 1; the mask is 1 where the mesh is seen, uv is 0 elsewhere.
    """
    maps, masks = [], []
    down = np.column_stack((uv[:, 0], 1 - uv[:, 1]))
    for points, viewmat, K in zip(vertices, viewmats, Ks, strict=True):
        camera = points @ viewmat[:3, :3].T + viewmat[:3, 3]
        raster = rasterize_mesh(camera, faces, K, width, height)
        maps.append(raster.interpolate(down, uv_faces))
        masks.append(raster.covered)
    uv_maps = torch.from_numpy(np.stack(maps)).permute(0, 3, 1, 2)[None]
    mask = torch.from_numpy(np.stack(masks)).float()[None]
    return Correspondence(uv_maps, mask[:, :, None], mask)
