"""Stands in for ``gsplat.csrc``, gsplat 1.5.3's compiled half: the functions that gsplat calls to draw our splats.

They allocate, launch gsplat's own kernels by :mod:`.driver`, and sort with PyTorch. Names, arguments and results are
those of gsplat's C++ (``gsplat/cuda/csrc/*.cpp``), which its Python passes by position; I are images, batches times
cameras. What is not here is refused by its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum
from functools import partial
from typing import NoReturn

import torch

from engine.errors import EngineError
from engine.splatting.cuda.driver import driver
from engine.splatting.cuda.signatures import CHANNELS

THREADS = 256  # of a block, in kernels with one thread for each Gaussian
MOST_KEY_BITS = 31  # for images and tiles; 32 more are the depth's, and the key is signed
MOST_PAIRS = 2**31 - 1  # of Gaussians and tiles; the kernels count in int32
WORD = 4  # bytes
SMALLER = "Draw a smaller image, fewer views at once or fewer Gaussians."


class CameraModelType(IntEnum):
    PINHOLE = 0


PINHOLE = CameraModelType.PINHOLE  # where gsplat looks for it

Given = torch.Tensor | None


def __getattr__(name: str) -> NoReturn:
    if name.startswith("_"):
        raise AttributeError(name)
    raise EngineError(
        f"gsplat's {name} is not among the kernels that the engine brings.",
        "Install gsplat where CUDA's toolkit can compile all of it.",
    )


def projection_ewa_3dgs_fused_fwd(
    means: torch.Tensor,
    covars: Given,
    quats: Given,
    scales: Given,
    opacities: Given,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    image_width: int,
    image_height: int,
    eps2d: float,
    near_plane: float,
    far_plane: float,
    radius_clip: float,
    calc_compensations: bool,
    camera_model: CameraModelType,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, Given]:
    """Returns radii, means2d, depths, conics and compensations; all are 0 where a Gaussian is culled."""
    shape = (*means.shape[:-2], viewmats.shape[-3], means.shape[-2])
    new = partial(torch.zeros, dtype=torch.float32, device=means.device)
    radii = new(*shape, 2, dtype=torch.int32)
    means2d, depths, conics = new(*shape, 2), new(*shape), new(*shape, 3)
    compensations = new(*shape) if calc_compensations else None
    _each(
        "projection_ewa_3dgs_fused_fwd_kernel",
        radii.numel() // 2,
        means,
        **_sizes(means, viewmats),
        means=means,
        covars=covars,
        quats=quats,
        scales=scales,
        opacities=opacities,
        viewmats=viewmats,
        Ks=Ks,
        image_width=image_width,
        image_height=image_height,
        eps2d=eps2d,
        near_plane=near_plane,
        far_plane=far_plane,
        radius_clip=radius_clip,
        camera_model=camera_model,
        radii=radii,
        means2d=means2d,
        depths=depths,
        conics=conics,
        compensations=compensations,
    )
    return radii, means2d, depths, conics, compensations


def projection_ewa_3dgs_fused_bwd(
    means: torch.Tensor,
    covars: Given,
    quats: Given,
    scales: Given,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    image_width: int,
    image_height: int,
    eps2d: float,
    camera_model: CameraModelType,
    radii: torch.Tensor,
    conics: torch.Tensor,
    compensations: Given,
    v_means2d: torch.Tensor,
    v_depths: torch.Tensor,
    v_conics: torch.Tensor,
    v_compensations: Given,
    viewmats_requires_grad: bool,
) -> tuple[torch.Tensor, Given, Given, Given, Given]:
    """Returns the gradients of means, covars, quats, scales and viewmats."""
    v_means = torch.zeros_like(means, memory_format=torch.contiguous_format)
    v_covars, v_quats, v_scales = (_zeros_like(x) for x in (covars, quats, scales))
    v_viewmats = _zeros_like(viewmats) if viewmats_requires_grad else None
    _each(
        "projection_ewa_3dgs_fused_bwd_kernel",
        radii.numel() // 2,
        means,
        **_sizes(means, viewmats),
        means=means,
        covars=covars,
        quats=quats,
        scales=scales,
        viewmats=viewmats,
        Ks=Ks,
        image_width=image_width,
        image_height=image_height,
        eps2d=eps2d,
        camera_model=camera_model,
        radii=radii,
        conics=conics,
        compensations=compensations,
        v_means2d=v_means2d,
        v_depths=v_depths,
        v_conics=v_conics,
        v_compensations=v_compensations,
        v_means=v_means,
        v_covars=v_covars,
        v_quats=v_quats,
        v_scales=v_scales,
        v_viewmats=v_viewmats,
    )
    return v_means, v_covars, v_quats, v_scales, v_viewmats


def intersect_tile(
    means2d: torch.Tensor,
    radii: torch.Tensor,
    depths: torch.Tensor,
    image_ids: Given,
    gaussian_ids: Given,
    images: int,
    tile_size: int,
    tile_width: int,
    tile_height: int,
    sort: bool,
    segmented: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns tiles per Gaussian, and of every pair of a Gaussian and a tile its key and its Gaussian, sorted by key.

    A key is image, tile and depth, from the highest bit to the lowest; ``segmented`` is another way to the same order.
    """
    tile_bits, image_bits = (tile_width * tile_height).bit_length(), images.bit_length()
    if tile_bits + image_bits > MOST_KEY_BITS:
        raise EngineError("The picture has more tiles than the graphics card's kernels can count.", SMALLER)
    tiles = torch.zeros_like(depths, dtype=torch.int32, memory_format=torch.contiguous_format)
    tile_pass = partial(
        _each,
        "intersect_tile_kernel",
        depths.numel(),
        depths,
        packed=False,
        I=images,
        N=means2d.shape[-2],
        nnz=0,
        image_ids=image_ids,
        gaussian_ids=gaussian_ids,
        means2d=means2d,
        radii=radii,
        depths=depths,
        tile_size=tile_size,
        tile_width=tile_width,
        tile_height=tile_height,
        tile_n_bits=tile_bits,
        image_n_bits=image_bits,
    )
    tile_pass(cum_tiles_per_gauss=None, tiles_per_gauss=tiles, isect_ids=None, flatten_ids=None)
    ends = tiles.flatten().cumsum(0)  # int64
    pairs = int(ends[-1]) if len(ends) else 0
    if pairs > MOST_PAIRS:
        raise EngineError("The Gaussians cover more tiles than the graphics card's kernels can count.", SMALLER)
    keys = torch.empty(pairs, dtype=torch.int64, device=depths.device)
    splats = torch.empty(pairs, dtype=torch.int32, device=depths.device)
    if pairs:
        tile_pass(cum_tiles_per_gauss=ends, tiles_per_gauss=None, isect_ids=keys, flatten_ids=splats)
    if sort:
        keys, order = keys.sort(stable=True)
        splats = splats[order]
    return tiles, keys, splats


def intersect_offset(isect_ids: torch.Tensor, images: int, tile_width: int, tile_height: int) -> torch.Tensor:
    """Returns [I, tile_height, tile_width] int32: at which pair each tile begins."""
    offsets = torch.zeros(images, tile_height, tile_width, dtype=torch.int32, device=isect_ids.device)
    tiles = tile_width * tile_height
    _each(
        "intersect_offset_kernel",
        len(isect_ids),
        isect_ids,
        n_isects=len(isect_ids),
        isect_ids=isect_ids,
        I=images,
        n_tiles=tiles,
        tile_n_bits=tiles.bit_length(),
        offsets=offsets,
    )
    return offsets


def rasterize_to_pixels_3dgs_fwd(
    means2d: torch.Tensor,
    conics: torch.Tensor,
    colors: torch.Tensor,
    opacities: torch.Tensor,
    backgrounds: Given,
    masks: Given,
    image_width: int,
    image_height: int,
    tile_size: int,
    tile_offsets: torch.Tensor,
    flatten_ids: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns colours, alphas, and of every pixel the last pair that it shows."""
    shape = (*tile_offsets.shape[:-2], image_height, image_width)
    new = partial(torch.zeros, dtype=torch.float32, device=means2d.device)
    renders, alphas, last = new(*shape, CHANNELS), new(*shape, 1), new(*shape, dtype=torch.int32)
    splats = {"means2d": means2d, "conics": conics, "colors": colors, "opacities": opacities}
    _tiles(
        "rasterize_to_pixels_3dgs_fwd_kernel",
        1 + 3 + 3,
        splats | {"backgrounds": backgrounds, "masks": masks},
        (image_width, image_height, tile_size, tile_offsets, flatten_ids),
        render_colors=renders,
        render_alphas=alphas,
        last_ids=last,
    )
    return renders, alphas, last


def rasterize_to_pixels_3dgs_bwd(
    means2d: torch.Tensor,
    conics: torch.Tensor,
    colors: torch.Tensor,
    opacities: torch.Tensor,
    backgrounds: Given,
    masks: Given,
    image_width: int,
    image_height: int,
    tile_size: int,
    tile_offsets: torch.Tensor,
    flatten_ids: torch.Tensor,
    render_alphas: torch.Tensor,
    last_ids: torch.Tensor,
    v_render_colors: torch.Tensor,
    v_render_alphas: torch.Tensor,
    absgrad: bool,
) -> tuple[Given, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns the gradients of means2d (of its absolute values first, where wanted), conics, colors and opacities."""
    splats = {"means2d": means2d, "conics": conics, "colors": colors, "opacities": opacities}
    slopes = {f"v_{name}": torch.zeros_like(x, memory_format=torch.contiguous_format) for name, x in splats.items()}
    slopes_abs = _zeros_like(means2d) if absgrad else None
    if len(flatten_ids):
        _tiles(
            "rasterize_to_pixels_3dgs_bwd_kernel",
            1 + 3 + 3 + CHANNELS,
            splats | {"backgrounds": backgrounds, "masks": masks},
            (image_width, image_height, tile_size, tile_offsets, flatten_ids),
            render_alphas=render_alphas,
            last_ids=last_ids,
            v_render_colors=v_render_colors,
            v_render_alphas=v_render_alphas,
            v_means2d_abs=slopes_abs,
            **slopes,
        )
    return slopes_abs, slopes["v_means2d"], slopes["v_conics"], slopes["v_colors"], slopes["v_opacities"]


def _each(kernel: str, count: int, at: torch.Tensor, **values: torch.Tensor | float | None) -> None:
    """One thread for each of ``count`` elements, on the device of ``at``."""
    grid = (-(-count // THREADS), 1, 1)
    driver().launch(kernel, at.device, grid, (THREADS, 1, 1), 0, _contiguous(values))


def _tiles(
    kernel: str,
    words: int,
    splats: dict[str, Given],
    image: tuple[int, int, int, torch.Tensor, torch.Tensor],
    **values: Given,
) -> None:
    """One block for each tile, one thread for each pixel, with ``words`` of shared memory each: with tiles of 16² no
    more than 11 KB, which every card gives unasked."""
    width, height, size, offsets, ids = image
    means2d, colors = splats["means2d"], splats["colors"]
    assert means2d is not None and colors is not None
    if colors.shape[-1] != CHANNELS:
        raise EngineError(
            f"The graphics card's kernels are for {CHANNELS} channels, not {colors.shape[-1]}.",
            "Draw colours and depth.",
        )
    rows, columns = offsets.shape[-2:]
    images = math.prod(offsets.shape[:-2])
    counts = {"I": images, "N": means2d.shape[-2], "n_isects": len(ids), "packed": False}
    sizes = {"image_width": width, "image_height": height, "tile_size": size}
    sizes |= {"tile_width": columns, "tile_height": rows}
    bins = {"tile_offsets": offsets, "flatten_ids": ids}
    given = _contiguous(counts | splats | sizes | bins | values)
    driver().launch(kernel, means2d.device, (images, rows, columns), (size, size, 1), size * size * words * WORD, given)


def _sizes(means: torch.Tensor, viewmats: torch.Tensor) -> dict[str, int]:
    return {"B": math.prod(means.shape[:-2]), "C": viewmats.shape[-3], "N": means.shape[-2]}


def _contiguous(values: Mapping[str, torch.Tensor | float | None]) -> dict[str, torch.Tensor | float | None]:
    return {name: value.contiguous() if isinstance(value, torch.Tensor) else value for name, value in values.items()}


def _zeros_like(x: Given) -> Given:
    return None if x is None else torch.zeros_like(x, memory_format=torch.contiguous_format)
