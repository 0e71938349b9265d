"""The CPU rasteriser: numba kernels behind a ``torch.autograd.Function``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numba import set_parallel_chunksize

from engine.splatting.kernels import projection, tiles
from engine.splatting.spec import BackendSpec

_one_at_a_time = threading.Lock()
"""Numba's fallback threading layer ends the process when two threads enter parallel kernels at once."""

TILES_PER_CHUNK = 8
"""Tiles that a thread takes at a time; few enough to keep all threads busy when a head fills half the image."""


@dataclass(frozen=True)
class _Pass:
    """What the backward pass needs of one camera's forward pass (see the kernels for shapes)."""

    camera: np.ndarray
    lens: np.ndarray
    splats: np.ndarray
    rects: np.ndarray
    radii: np.ndarray
    tile_offsets: np.ndarray
    tile_splats: np.ndarray
    tile_pairs: np.ndarray
    pair_offsets: np.ndarray
    transmittances: np.ndarray
    last: np.ndarray


def _render(
    gaussians: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    visible: np.ndarray,
    camera: np.ndarray,
    K: np.ndarray,
    width: int,
    height: int,
    near_plane: float,
    renders: np.ndarray,
    transmittances: np.ndarray,
) -> _Pass:
    """Draw one camera into ``renders`` [H, W, 4] and ``transmittances`` [H, W]."""
    n = len(visible)
    lens = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], width, height], np.float64)
    splats = np.empty((n, projection.SPLAT), np.float32)
    rects, radii = np.zeros((n, 4), np.int32), np.zeros((n, 2), np.int32)
    projection.project(*gaussians, visible, camera, lens, near_plane, splats, rects, radii)

    kept = np.flatnonzero(rects[:, 2]).astype(np.uint64)
    # positive floats sort like their bits; the index below them makes the order of equal depths definite
    order = np.sort(splats[kept, projection.DEPTH].view(np.uint32).astype(np.uint64) << np.uint64(32) | kept)
    offsets, binned, pairs, pair_offsets = tiles.bin_splats(order, rects, width, height)
    last = np.empty((height, width), np.int32)
    _in_chunks(tiles.blend, splats, rects, offsets, binned, renders, transmittances, last)
    return _Pass(camera, lens, splats, rects, radii, offsets, binned, pairs, pair_offsets, transmittances, last)


def _in_chunks(kernel: Callable[..., None], *arguments: object) -> None:
    before = set_parallel_chunksize(TILES_PER_CHUNK)
    try:
        kernel(*arguments)
    finally:
        set_parallel_chunksize(before)


class _Rasterise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means, quats, scales, opacities, colors, viewmats, Ks, visible, width, height, near_plane):
        inputs = (means, quats, scales, opacities, colors)
        gaussians = (means.numpy(), quats.numpy(), scales.numpy(), opacities.numpy(), colors.numpy())
        renders = torch.empty(len(viewmats), height, width, 4)
        transmittances = torch.empty(len(viewmats), height, width, 1)
        with _one_at_a_time:
            ctx.views = [
                _render(
                    gaussians,
                    visible.numpy(),
                    viewmats[c].double().numpy(),
                    Ks[c].double().numpy(),
                    width,
                    height,
                    near_plane,
                    renders[c].numpy(),
                    transmittances[c, ..., 0].numpy(),
                )
                for c in range(len(viewmats))
            ]
        ctx.save_for_backward(*inputs)
        radii = torch.from_numpy(np.stack([view.radii for view in ctx.views]))
        splats = torch.from_numpy(np.stack([view.splats for view in ctx.views]))
        kept = (radii > 0).all(-1)
        means2d = torch.where(kept[..., None], splats[..., : projection.Y + 1], 0.0)
        depths = torch.where(kept, splats[..., projection.DEPTH], 0.0)
        ctx.mark_non_differentiable(radii, means2d, depths)
        return renders, 1.0 - transmittances, radii, means2d, depths

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_renders, d_alphas, *_):
        inputs = ctx.saved_tensors
        means, quats, scales = (x.numpy() for x in inputs[:3])
        gradients = [torch.zeros_like(x) for x in inputs]
        d_viewmats = torch.zeros(len(ctx.views), 4, 4)
        d_renders, d_alphas = d_renders.contiguous().numpy(), d_alphas.contiguous().numpy()
        with _one_at_a_time:
            for c, view in enumerate(ctx.views):
                pairs = np.empty((len(view.tile_pairs), projection.GRADIENT), np.float32)
                _in_chunks(
                    tiles.unblend,
                    view.splats,
                    view.rects,
                    view.tile_offsets,
                    view.tile_splats,
                    view.tile_pairs,
                    view.transmittances,
                    view.last,
                    d_renders[c],
                    d_alphas[c, ..., 0],
                    pairs,
                )
                d_camera = np.zeros((projection.BLOCKS, 3, 4))
                projection.pull_back(
                    view.pair_offsets,
                    pairs,
                    means,
                    quats,
                    scales,
                    view.camera,
                    view.lens,
                    view.splats,
                    *(x.numpy() for x in gradients),
                    d_camera=d_camera,
                )
                d_viewmats[c, :3] = torch.from_numpy(d_camera.sum(axis=0)).float()
        return *gradients, d_viewmats, None, None, None, None, None


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
    if visible is None:
        visible = torch.ones(len(means), dtype=torch.bool)
    tensors = [x.float().contiguous() for x in (means, quats, scales, opacities, colors, viewmats)]
    renders, alphas, radii, means2d, depths = _Rasterise.apply(
        *tensors, Ks.detach(), visible.contiguous(), width, height, near_plane
    )
    if backgrounds is not None:
        renders = renders + (1.0 - alphas) * torch.nn.functional.pad(backgrounds.float(), (0, 1))[:, None, None]
    return renders, alphas, {"radii": radii, "means2d": means2d, "depths": depths}


SPEC = BackendSpec(name="numba", device="cpu", rasterize=rasterize, order=0)
