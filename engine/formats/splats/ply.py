"""The .ply of 3D Gaussian Splatting (Kerbl et al. 2023, arXiv 2308.04079); spherical harmonics of degree 0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement

from engine.atomic import atomic_write
from engine.errors import AvatarError
from engine.formats.foreign import POINT_CLOUD, ply_kind, way_out
from engine.formats.ply_file import Header, read_header, read_table
from engine.formats.spec import Read, SplatFormat
from engine.formats.viewers import SH_C0, arrays, check_count, harmonics_note, read_in
from engine.gaussians.gaussians import Splats

PROPERTIES = (
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
    "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
)  # fmt: skip
OPAQUE = 1 - 1e-6  # the logit of 1 is infinite
FAINT = 1e-6
DEGREES = {9: 1, 24: 2, 45: 3}  # by the number of coefficients beyond degree 0
AGAIN = "Export the .ply again, as 3D Gaussian Splatting writes it."


def write_ply(splats: Splats, path: Path) -> None:
    """Write splats, binary little-endian. Raises OutputError."""
    table = arrays(splats)
    opacities = table["opacities"].astype(np.float64).clip(FAINT, OPAQUE)
    columns = np.concatenate(
        (
            table["means"],
            np.zeros_like(table["means"]),  # normals: every reader expects them, none uses them
            (table["colors"] - 0.5) / SH_C0,
            np.log(opacities / (1 - opacities))[:, None],
            np.log(table["scales"]),
            table["quats"],
        ),
        axis=1,
        dtype="<f4",
    )
    rows = columns.view([(name, "<f4") for name in PROPERTIES]).reshape(-1)
    with atomic_write(path) as temporary:
        PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(str(temporary))


def read_ply(path: Path) -> Read:
    """Read splats of any trainer's .ply: text or binary, with more properties and elements, of degree 0 to 3.

    Raises:
        AvatarError: the file is missing, damaged, or holds no Gaussians that lie in space; says what it holds instead.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file)
        _check(header, path)
        table = read_table(path, header, "vertex")
        return _splats(table, path.name)
    except OSError as error:
        raise AvatarError(f"{path.name} cannot be read ({error.strerror or error}).", AGAIN) from error
    except ValueError as error:
        raise AvatarError(f"{path.name} is no .ply, truncated or damaged: {error}.", AGAIN) from error


def _check(header: Header, path: Path) -> None:
    if (kind := ply_kind(header)) != POINT_CLOUD:
        raise AvatarError(f"{path.name} is {kind.what}.", way_out(kind, path))
    check_count(header.element("vertex").count, path.name)


def _splats(table: Mapping[str, np.ndarray], source: str) -> Read:
    def columns(prefix: str, names: str) -> np.ndarray:
        return np.stack([table[f"{prefix}{name}"] for name in names], axis=1).astype(np.float32)

    notes = ()
    rest = [name for name in table if name.startswith("f_rest_")]
    if any(table[name].any() for name in rest):
        notes = (harmonics_note(f"degree {DEGREES[len(rest)]}" if len(rest) in DEGREES else f"{len(rest)} numbers"),)
    with np.errstate(over="ignore", invalid="ignore"):
        scales = np.exp(columns("scale_", "012"))
        opacities = 1 / (1 + np.exp(-table["opacity"].astype(np.float32)))
        colors = columns("f_dc_", "012") * np.float32(SH_C0) + np.float32(0.5)
        means = columns("", "xyz")
    return read_in(means, columns("rot_", "0123"), scales, opacities, colors, source, notes)


SPEC = SplatFormat(name="ply", label="3D Gaussian Splatting", write=write_ply, read=read_ply, order=0)
