"""The texels that official UIKA was trained on, put on the user's FLAME.

The checkpoint says only which three of FLAME's vertices carry a texel, and how. Vertices, blend shapes, joints and
skin weights are FLAME's, and come from the user's own file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from engine.errors import AssetError, HeadModelError
from engine.heads.atlas import Atlas
from engine.heads.flame_file import FlameFile, read_flame
from engine.heads.parametric import ParametricHead
from engine.models.importers import TABLES

SAME = 1e-5  # metres, by which float32 may differ from the user's file
ODDEST = 1e-3  # by which barycentrics may leave 0..1
CHECKED = 400  # texels whose blend shapes are compared, spread evenly: the file has half a gigabyte of them
OTHER_FLAME = "Official UIKA was trained on FLAME 2023: download flame2023.pkl from flame.is.tue.mpg.de."


@dataclass(frozen=True)
class TexelTable:
    """R × R texels, M of which carry a Gaussian; those are in row-major order everywhere.

    Attributes:
        valid: [R, R] bool. corners: [M, 3] int64, vertices of FLAME. barycentrics: [M, 3] float32, sum to 1.
    """

    valid: torch.Tensor
    corners: torch.Tensor
    barycentrics: torch.Tensor

    def mix(self, at_vertices: torch.Tensor) -> torch.Tensor:
        """[M, C]: values [V, C] of FLAME's vertices at the texels."""
        return (at_vertices[self.corners] * self.barycentrics[..., None]).sum(1)


def read_table(tensors: Mapping[str, torch.Tensor], source: str, resolution: int) -> TexelTable:
    """The checkpoint's tables.

    Args:
        tensors: the checkpoint's, by name. source: its file's name. resolution: R of the network.

    Raises:
        AssetError: they are missing or contradict each other.
    """
    table = TexelTable(*(_tensor(tensors, source, f"{n}_flatten") for n in ("valid_mask", "pix_to_v_idx", "pix_bary")))
    valid, corners, barycentrics = table.valid, table.corners, table.barycentrics
    count = int(valid.sum()) if valid.dtype == torch.bool else -1
    if (
        valid.shape != (resolution**2,)
        or corners.shape != (count, 3)
        or barycentrics.shape != (count, 3)
        or corners.is_floating_point()
        or not barycentrics.is_floating_point()
        or not bool(((barycentrics > -ODDEST) & (barycentrics < 1 + ODDEST)).all())  # nan is neither
        or int(corners.min()) < 0
    ):
        raise AssetError(f"The texels in {source} are damaged.", "Download the file again.")
    return TexelTable(valid.view(resolution, resolution), corners.long(), barycentrics.float())


def check_flame(path: Path, table: TexelTable, tensors: Mapping[str, torch.Tensor], source: str) -> FlameFile:
    """The user's FLAME file, where it is the one that the weights were trained on.

    Raises:
        HeadModelError: it is another one. AssetError: the checkpoint does not say which.
    """
    flame = read_flame(path)
    template = _tensor(tensors, source, "v_template_pix")
    shapes = _tensor(tensors, source, "shapedirs_pix")
    if template.shape != table.corners.shape or shapes.shape[:2] != template.shape or shapes.ndim != 3:
        raise AssetError(f"The texels in {source} are damaged.", "Download the file again.")
    ours = np.concatenate([flame.identity_basis, flame.expression_basis])
    if int(table.corners.max()) >= len(flame.template) or shapes.shape[2] != len(ours):
        raise HeadModelError(
            f"{path.name} has {len(flame.template)} vertices and {len(ours)} components; the FLAME that {source} was "
            f"trained on has {shapes.shape[2]} components.",
            OTHER_FLAME,
        )
    if not bool(((table.mix(torch.from_numpy(flame.template)) - template).abs() < SAME).all()):
        raise HeadModelError(
            f"{path.name} has another mean head than {source} was trained on: it is FLAME 2020, FLAME 2023 Open or a "
            "changed one.",
            OTHER_FLAME,
        )
    some = torch.linspace(0, len(template) - 1, min(CHECKED, len(template))).long()
    few = TexelTable(table.valid, table.corners[some], table.barycentrics[some])
    at_vertices = torch.from_numpy(ours.transpose(1, 2, 0).reshape(len(flame.template), -1))
    off = (few.mix(at_vertices).view(len(some), 3, -1) - shapes[some]).abs().amax((0, 1))
    if not bool((off < SAME).all()):
        which = "expressions" if bool((off[: len(flame.identity_basis)] < SAME).all()) else "identities"
        raise HeadModelError(
            f"{path.name} has the mean head that {source} was trained on, but other {which}: it is the variant without "
            "jaw rotation (flame2023_no_jaw.pkl) or a changed one.",
            OTHER_FLAME,
        )
    return flame


@dataclass(frozen=True)
class OnHead:
    """The texels on a head model's triangles.

    Attributes:
        head: the model with a triangle more for each of the table's triples that is none of its own.
        atlas: which triangle each texel lies on.
    """

    head: ParametricHead
    atlas: Atlas

    @property
    def triangles(self) -> torch.Tensor:
        """[M] int64."""
        return torch.from_numpy(self.atlas.triangle[self.atlas.mask].astype(np.int64))

    @property
    def barycentrics(self) -> torch.Tensor:
        """[M, 3]."""
        return torch.from_numpy(self.atlas.barycentric[self.atlas.mask])


def put_on(table: TexelTable, head: ParametricHead) -> OnHead:
    """Find every texel's triangle on a head whose first vertices are FLAME's.

    Triples that are no triangle of the head (the public code closes the mouth with some) become triangles after all
    others. On the head's own UV map these cover nothing: they are carriers of Gaussians, no skin.
    """
    corners, weights = table.corners.numpy(), table.barycentrics.numpy()
    order = np.argsort(corners, axis=1)
    keys, mine = _keys(np.take_along_axis(corners, order, 1)), _keys(np.sort(head.faces, axis=1))
    unknown, first = np.unique(keys[~np.isin(keys, mine)], return_index=True)
    extra = corners[~np.isin(keys, mine)][first].astype(np.int32)
    complete = replace(
        head,
        faces=np.concatenate([head.faces, extra]),
        uv_faces=np.concatenate([head.uv_faces, np.zeros((len(extra), 3), np.int32)]),
    )
    every = np.concatenate([mine, unknown])
    sorting = np.argsort(every, kind="stable")
    triangle = sorting[np.searchsorted(every, keys, sorter=sorting)]
    ranks = np.argsort(np.argsort(complete.faces[triangle], axis=1), axis=1)
    barycentric = np.take_along_axis(np.take_along_axis(weights, order, 1), ranks, 1)
    mask = table.valid.numpy()
    triangles, barycentrics = np.full(mask.shape, -1, np.int32), np.zeros((*mask.shape, 3), np.float32)
    triangles[mask], barycentrics[mask] = triangle, barycentric
    return OnHead(complete, Atlas(len(mask), triangles, barycentrics, mask))


def _keys(corners: np.ndarray) -> np.ndarray:
    """[N] int64, one number for every triple of vertices [N, 3] in ascending order."""
    a, b, c = corners.astype(np.int64).T
    return (a << 42) | (b << 21) | c


def _tensor(tensors: Mapping[str, torch.Tensor], source: str, name: str) -> torch.Tensor:
    if f"{TABLES}{name}" not in tensors:
        raise AssetError(f"{source} lacks {TABLES}{name}, which says where its texels are.", "Download the file again.")
    return tensors[f"{TABLES}{name}"]
