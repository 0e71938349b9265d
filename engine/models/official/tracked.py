"""Where on official UIKA's UV map every pixel lies, from a tracked mesh: the estimator's stand-in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from engine.gaussians.mesh_raster import rasterize_mesh
from engine.heads.atlas import Atlas
from engine.models.kit.correspondence import Correspondence
from engine.models.official.inputs import Crop
from engine.models.official.texels import OnHead
from engine.tracking.tracked import View


class Charts:
    """Each triangle's part of the UV map, recovered from its texels: an affine map from barycentrics to uv, v down.

    A triangle with fewer than three texels gets the map of least change; one without any is not on the UV map.
    """

    def __init__(self, atlas: Atlas, triangles: int):
        row, column = np.nonzero(atlas.mask)
        uv = (np.column_stack((column, row)) + 0.5) / atlas.resolution
        triangle, barycentric = atlas.triangle[atlas.mask], atlas.barycentric[atlas.mask].astype(np.float64)
        self.counts = np.bincount(triangle, minlength=triangles)

        def total(values: np.ndarray) -> np.ndarray:
            sums = np.zeros((triangles, *values.shape[1:]))
            np.add.at(sums, triangle, values)
            return sums

        each = np.maximum(self.counts, 1)[:, None]
        self.middle, self.uv = total(barycentric) / each, total(uv) / each
        off, moved = barycentric - self.middle[triangle], uv - self.uv[triangle]
        spread = total(off[:, :, None] * off[:, None])
        self.slope = np.linalg.pinv(spread, rcond=1e-6, hermitian=True) @ total(off[:, :, None] * moved[:, None])

    def read(self, triangle: np.ndarray, barycentric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uv [..., 2] at points of triangles [...], -1 for none, and whether there is one [...]."""
        there = (triangle >= 0) & (self.counts[triangle] > 0)
        off = barycentric - self.middle[triangle]
        uv = self.uv[triangle] + np.einsum("...k,...kc->...c", off, self.slope[triangle])
        return np.where(there[..., None], uv.clip(0, 1), 0), there


def tracked_correspondence(
    on_head: OnHead, posed: Sequence[np.ndarray], views: Sequence[View], crops: Sequence[Crop]
) -> Correspondence:
    """For one person.

    Args:
        posed: [V, 3] metres for each photo, the tracked mesh as it shows it.
    """
    charts, size = Charts(on_head.atlas, len(on_head.head.faces)), crops[0].image.shape[-1]
    maps, masks = [], []
    for vertices, view, cut in zip(posed, views, crops, strict=True):
        camera = vertices @ view.viewmat[:3, :3].T + view.viewmat[:3, 3]
        raster = rasterize_mesh(camera, on_head.head.faces, cut.place @ view.K, size, size)
        uv, there = charts.read(raster.triangle, raster.barycentric)
        maps.append(torch.from_numpy(uv).float().permute(2, 0, 1))
        masks.append(torch.from_numpy(there)[None] * cut.mask)
    mask = torch.stack(masks)[None]
    return Correspondence(torch.stack(maps)[None], mask, (mask[:, :, 0] > 0).float())
