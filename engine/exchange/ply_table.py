"""The properties of a .ply's vertices as stored, for heads whose Gaussians count from a mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from engine.errors import AvatarError
from engine.formats import ply_file
from engine.formats.viewers import SH_C0
from engine.gaussians.gaussians import Splats

NAMES = ("x", "y", "z", "opacity", *(f"scale_{k}" for k in range(3)), *(f"rot_{k}" for k in range(4)),
         *(f"f_dc_{k}" for k in range(3)))  # fmt: skip


def read_table(path: Path, shown: str, extra: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """[N] float64 each, by name: 3DGS' properties, and others that must be there.

    Raises:
        AvatarError: the file is no such .ply, is damaged, or holds numbers that are not finite.
    """
    try:
        with path.open("rb") as file:
            header = ply_file.read_header(file)
        columns = ply_file.read_table(path, header, "vertex")
        table = {name: np.array(columns[name], np.float64) for name in (*NAMES, *extra)}
        fine = len(table["x"]) > 0 and all(np.isfinite(column).all() for column in table.values())
    except Exception as error:  # numpy raises a dozen kinds on damaged bytes
        raise AvatarError(f"{shown} is truncated or damaged ({error}).", "Make or copy the file again.") from error
    if not fine:
        raise AvatarError(f"{shown} holds numbers that are not finite, or none.", "Make or copy the file again.")
    return table


def splats_of(table: dict[str, np.ndarray], plain_colors: bool) -> Splats:
    """The Gaussians with their places as stored.

    Args:
        plain_colors: f_dc holds colours themselves, not the constant spherical harmonic's share.
    """

    def columns(prefix: str, count: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([table[f"{prefix}_{k}"] for k in range(count)], axis=1)).float()

    colors = columns("f_dc", 3)
    return Splats(
        means=torch.from_numpy(np.stack([table[axis] for axis in "xyz"], axis=1)).float(),
        quats=torch.nn.functional.normalize(columns("rot", 4) + torch.tensor([1e-9, 0, 0, 0]), dim=1),
        scales=columns("scale", 3).clamp(-60, 20).exp(),
        opacities=torch.from_numpy(table["opacity"]).float().sigmoid(),
        colors=colors if plain_colors else colors * SH_C0 + 0.5,
    )
