"""Writes the 32-byte records of .splat (https://github.com/antimatter15/splat), which web viewers stream.

World axes in the file are COLMAP's, as in :mod:`engine.formats.splats.ply`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.atomic import atomic_write
from engine.formats.spec import SplatFormat
from engine.formats.viewers import turn_over, visible
from engine.gaussians.gaussians import Splats

RECORD = np.dtype([("position", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)])


def write_splat(splats: Splats, path: Path) -> None:
    """Write splats that can be seen (opacity ≥ 1/255), the largest and most opaque first: viewers load from the front.

    Args:
        splats: N Gaussians in the engine's axes, for instance from :func:`engine.avatar.drive`.
        path: the file, replaced as a whole.

    Raises:
        OutputError: the file cannot be written.
    """
    kept = visible(turn_over(splats))
    order = np.argsort(-kept["scales"].prod(axis=1) * kept["opacities"], kind="stable")
    records = np.empty(len(order), RECORD)
    records["position"] = kept["means"][order]
    records["scale"] = kept["scales"][order]
    records["rgba"][:, :3] = _byte(kept["colors"][order] * 255)
    records["rgba"][:, 3] = _byte(kept["opacities"][order] * 255)
    records["rotation"] = _byte(kept["quats"][order] * 128 + 128)  # wxyz
    with atomic_write(path) as temporary:
        temporary.write_bytes(records.tobytes())


def _byte(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


SPEC = SplatFormat(name="splat", label="the same, smaller, for viewers in browsers", write=write_splat, order=1)
