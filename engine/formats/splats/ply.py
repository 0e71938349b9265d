"""Writes and reads the .ply of 3D Gaussian Splatting (Kerbl et al. 2023, arXiv 2308.04079), degree 0.

World axes in the file are COLMAP's: x right, y down, z away from the viewer, so that the head stands upright in viewers
and faces a camera at the identity.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from plyfile import PlyData, PlyElement

from engine.atomic import atomic_write
from engine.errors import AvatarError
from engine.formats.spec import SplatFormat
from engine.formats.viewers import turn_over, visible
from engine.gaussians.gaussians import Splats

SH_C0 = 0.28209479177387814  # the constant spherical harmonic, 1 / (2 √π)
PROPERTIES = (
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
    "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
)  # fmt: skip
OPAQUE = 1 - 1e-6  # the logit of 1 is infinite


def write_ply(splats: Splats, path: Path) -> None:
    """Write splats that can be seen (opacity ≥ 1/255), binary little-endian.

    Args:
        splats: N Gaussians in the engine's axes, for instance from :func:`engine.avatar.drive`.
        path: the file, replaced as a whole.

    Raises:
        OutputError: the file cannot be written.
    """
    kept = visible(turn_over(splats))
    opacities = kept["opacities"].astype(np.float64).clip(max=OPAQUE)
    columns = np.concatenate(
        (
            kept["means"],
            np.zeros_like(kept["means"]),  # normals: every reader expects them, none uses them
            (kept["colors"] - 0.5) / SH_C0,
            np.log(opacities / (1 - opacities))[:, None],
            np.log(kept["scales"]),
            kept["quats"],
        ),
        axis=1,
        dtype="<f4",
    )
    rows = columns.view([(name, "<f4") for name in PROPERTIES]).reshape(-1)
    with atomic_write(path) as temporary:
        PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(str(temporary))


def read_ply(path: Path) -> Splats:
    """Read splats into the engine's axes; spherical harmonics above degree 0 are left out.

    Raises:
        AvatarError: the file is missing, damaged, or holds no Gaussians.
    """
    way_out = "Export the .ply again, as 3D Gaussian Splatting writes it."
    try:
        rows = PlyData.read(str(path))["vertex"].data
        table = {name: np.array(rows[name], np.float32) for name in PROPERTIES if not name.startswith("n")}
    except OSError as error:
        raise AvatarError(f"{path.name} cannot be read ({error.strerror or error}).", way_out) from error
    except Exception as error:  # plyfile and numpy raise a dozen kinds on damaged bytes
        raise AvatarError(f"{path.name} is no Gaussian .ply, truncated or damaged ({error}).", way_out) from error

    def columns(prefix: str, count: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([table[f"{prefix}_{i}"] for i in range(count)], axis=1))

    splats = Splats(
        means=torch.from_numpy(np.stack([table[axis] for axis in "xyz"], axis=1)),
        quats=torch.nn.functional.normalize(columns("rot", 4), dim=1),
        scales=columns("scale", 3).exp(),
        opacities=torch.from_numpy(table["opacity"]).sigmoid(),
        colors=columns("f_dc", 3) * SH_C0 + 0.5,
    )
    if not all(torch.isfinite(value).all() for value in vars(splats).values()):
        raise AvatarError(f"{path.name} holds numbers that are not finite.", way_out)
    return turn_over(splats)


SPEC = SplatFormat(name="ply", label="3D Gaussian Splatting", write=write_ply, order=0)
