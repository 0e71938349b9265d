"""gsplat's kernels as they are launched, each with its parameters; packaging compares them with the binary."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

CHANNELS = 4
"""Of a splat, red, green, blue and depth: the one number for which the rasterising kernels are compiled."""

_TYPES: dict[str, Any] = {
    "pointer": ctypes.c_void_p, "uint32": ctypes.c_uint32, "float": ctypes.c_float, "bool": ctypes.c_bool,
}  # fmt: skip
_TILES = """
    uint32 I N n_isects | bool packed | pointer means2d conics colors opacities backgrounds masks
    | uint32 image_width image_height tile_size tile_width tile_height | pointer tile_offsets flatten_ids
"""
_PARAMETERS = {  # camera_model is an enumeration, which C++ keeps in 32 bits
    "projection_ewa_3dgs_fused_fwd_kernel": """
        uint32 B C N | pointer means covars quats scales opacities viewmats Ks | uint32 image_width image_height
        | float eps2d near_plane far_plane radius_clip | uint32 camera_model
        | pointer radii means2d depths conics compensations
    """,
    "projection_ewa_3dgs_fused_bwd_kernel": """
        uint32 B C N | pointer means covars quats scales viewmats Ks | uint32 image_width image_height
        | float eps2d | uint32 camera_model | pointer radii conics compensations
        v_means2d v_depths v_conics v_compensations v_means v_covars v_quats v_scales v_viewmats
    """,
    "intersect_tile_kernel": """
        bool packed | uint32 I N nnz | pointer image_ids gaussian_ids means2d radii depths cum_tiles_per_gauss
        | uint32 tile_size tile_width tile_height tile_n_bits image_n_bits
        | pointer tiles_per_gauss isect_ids flatten_ids
    """,
    "intersect_offset_kernel": """
        uint32 n_isects | pointer isect_ids | uint32 I n_tiles tile_n_bits | pointer offsets
    """,
    "rasterize_to_pixels_3dgs_fwd_kernel": f"{_TILES} | pointer render_colors render_alphas last_ids",
    "rasterize_to_pixels_3dgs_bwd_kernel": f"""{_TILES} | pointer render_alphas last_ids
        v_render_colors v_render_alphas v_means2d_abs v_means2d v_conics v_colors v_opacities
    """,
}


def _structure(text: str) -> type[ctypes.Structure]:
    groups = [group.split() for group in text.split("|")]
    fields = [(name, _TYPES[kind]) for kind, *names in groups for name in names]
    return type("Parameters", (ctypes.Structure,), {"_fields_": fields})


SIGNATURES: Mapping[str, type[ctypes.Structure]] = {name: _structure(text) for name, text in _PARAMETERS.items()}
"""By a kernel's name its parameters, aligned as CUDA aligns them."""


def layout(parameters: type[ctypes.Structure]) -> list[tuple[int, int]]:
    """Offset and size in bytes of each parameter."""
    fields = [getattr(parameters, field[0]) for field in parameters._fields_]
    return [(field.offset, field.size) for field in fields]
