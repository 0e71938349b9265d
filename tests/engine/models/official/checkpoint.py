"""A checkpoint like UIKA's official one: the public code's tiny weights, with texels of a head that is handed in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from engine.heads.atlas import make_atlas
from engine.heads.parametric import ParametricHead
from tests.engine.models.parity import TINY_UIKA, tensors

TABLES = "renderer.flame_model."


def tiny_weights(*, estimator: bool = True, reach: float = 1.0) -> dict[str, torch.Tensor]:
    """The network's tensors under their official names, and the estimator's.

    Args:
        reach: times the offsets of the public code's random weights, which tear a head apart.
    """
    found = tensors("uika_tiny_weights")
    found |= {name: reach * found[name] for name in found if name.startswith("gs_decoder.gs_net.out_layers.xyz.")}
    if estimator:
        found |= {k.replace("fuvt.", "uv_wrapper.model.", 1): v for k, v in tensors("fuvt_tiny_weights").items()}
    return found


def tables_for(head: ParametricHead, flame: dict[str, np.ndarray], skin: np.ndarray) -> dict[str, torch.Tensor]:
    """Texels on a head's triangles, with the public code's rows beside them as it computes them from FLAME's file.

    Args:
        flame: the file's arrays, whose vertices are the head's first. skin: [F] bool, triangles that carry texels.
    """
    atlas = make_atlas(head.uv, head.uv_faces, TINY_UIKA.resolution)
    mask = atlas.mask & skin[atlas.triangle]
    corners, weights = head.faces[atlas.triangle[mask]].astype(np.int64), atlas.barycentric[mask]
    lips = np.flatnonzero(head.regions["lips"])
    corners[:3] = lips[[0, len(lips) // 3, 2 * len(lips) // 3]]  # no triangle of the head's, as in the mouth
    return {
        f"{TABLES}valid_mask_flatten": torch.from_numpy(mask.ravel().copy()),
        f"{TABLES}pix_to_v_idx_flatten": torch.from_numpy(corners),
        f"{TABLES}pix_bary_flatten": torch.from_numpy(weights),
        **derived(flame, corners, weights),
    }


def derived(flame: dict[str, np.ndarray], corners: np.ndarray, weights: np.ndarray) -> dict[str, torch.Tensor]:
    """FLAME's template and shapes [M, ...] at texels."""
    mixed = {
        f"{TABLES}{name}_pix": np.einsum("mk...,mk->m...", flame[name][corners], weights).astype(np.float32)
        for name in ("v_template", "shapedirs")
    }
    return {name: torch.from_numpy(array) for name, array in mixed.items()}


def write(path: Path, *parts: dict[str, torch.Tensor]) -> Path:
    together: dict[str, torch.Tensor] = {}
    for part in parts:
        together |= part
    save_file({name: tensor.contiguous() for name, tensor in together.items()}, path)
    return path
