"""The 32-byte records of .splat (https://github.com/antimatter15/splat), which web viewers stream from the front."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.atomic import atomic_write
from engine.errors import AvatarError
from engine.formats.foreign import SPLAT, kind_of, way_out
from engine.formats.spec import Read, SplatFormat
from engine.formats.viewers import arrays, check_count, read_in
from engine.gaussians.gaussians import Splats

RECORD = np.dtype([("position", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)])
HUGE = 1e6  # m: no scene's splat is larger, and what is read as one was never a .splat


def write_splat(splats: Splats, path: Path) -> None:
    """Write splats in their order. Raises OutputError."""
    table = arrays(splats)
    records = np.empty(len(table["means"]), RECORD)
    records["position"] = table["means"]
    records["scale"] = table["scales"]
    records["rgba"][:, :3] = _byte(table["colors"] * 255)
    records["rgba"][:, 3] = _byte(table["opacities"] * 255)
    records["rotation"] = _byte(table["quats"] * 128 + 128)  # wxyz
    with atomic_write(path) as temporary:
        temporary.write_bytes(records.tobytes())


def read_splat(path: Path) -> Read:
    """Read splats.

    Raises:
        AvatarError: the file is missing, or can be no .splat; such files have no mark, so others may pass for them.
    """
    again = "Export the .splat again."
    try:
        kind, size = kind_of(path), path.stat().st_size
        if kind not in (None, SPLAT):
            raise AvatarError(f"{path.name} is {kind.what}, no .splat.", way_out(kind, path))
        if size % RECORD.itemsize:
            raise AvatarError(f"{path.name} is no .splat, truncated or damaged: it ends within a splat.", again)
        check_count(size // RECORD.itemsize, path.name)
        records = np.fromfile(path, RECORD)
    except OSError as error:
        raise AvatarError(f"{path.name} cannot be read ({error.strerror or error}).", again) from error
    scales, rgba = records["scale"], records["rgba"].astype(np.float32) / 255
    with np.errstate(invalid="ignore"):
        likely = np.all(scales >= 0, axis=1) & np.all(scales <= HUGE, axis=1)
    if 2 * likely.sum() < len(records):
        raise AvatarError(f"{path.name} is no .splat, or damaged: most of it is no splats.", again)
    scales = np.where(likely[:, None], scales, np.float32(np.nan))
    quats = records["rotation"].astype(np.float32) / 128 - 1
    means = records["position"].astype(np.float32)
    return read_in(means, quats, scales, rgba[:, 3].copy(), rgba[:, :3].copy(), path.name)


def _byte(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


SPEC = SplatFormat(
    name="splat", label="the same, smaller, for viewers in browsers", write=write_splat, read=read_splat, order=1
)
