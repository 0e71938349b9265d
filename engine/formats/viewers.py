"""What the formats for splat viewers share: which splats go out, in which axes, and what of a file comes in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.errors import AvatarError
from engine.formats.spec import Read
from engine.gaussians.gaussians import Splats
from engine.gaussians.rotations import quat_multiply

VISIBLE = 1 / 255  # fainter splats never reach a pixel (gsplat's cut-off)
MOST = 4_000_000  # Gaussians of a file, as of an avatar
SMALLEST = 1e-9  # m: what rounds to nothing has a size nevertheless
HALF = 0.5  # of a quaternion whose largest entry is one: shorter means that it had none
CHUNK = 1 << 16  # splats worked on at a time
SH_C0 = 0.28209479177387814  # the constant spherical harmonic, 1 / (2 √π)


@dataclass(frozen=True)
class Axes:
    """One way to lay a head into a file.

    Attributes:
        label: for people.
        matrix: [3, 3] rows, each a signed unit vector: what maps the engine's axes to the file's; it may mirror.
    """

    label: str
    matrix: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]


AXES = {
    "colmap": Axes("x right, y down, facing -z, as trainers write: most viewers", ((1, 0, 0), (0, -1, 0), (0, 0, -1))),
    "supersplat": Axes("x left, y down, facing +z: SuperSplat, macOS", ((-1, 0, 0), (0, -1, 0), (0, 0, 1))),
    "gltf": Axes("y up, facing +z: glTF, SPZ, PlayCanvas' engine", ((1, 0, 0), (0, 1, 0), (0, 0, 1))),
    "blender": Axes("z up, facing -y: importers in Blender", ((1, 0, 0), (0, 0, -1), (0, 1, 0))),
    "unity": Axes("y up, facing -z, left-handed: Unity", ((1, 0, 0), (0, 1, 0), (0, 0, -1))),
}
"""Splat files carry no axes, and programs do not agree."""


def to_file(splats: Splats, axes: str) -> Splats:
    """From the engine's axes (y up, face toward +z) to those of a file."""
    return _turned(splats, np.array(AXES[axes].matrix, np.float64))


def from_file(splats: Splats, axes: str) -> Splats:
    """From a file's axes to the engine's."""
    return _turned(splats, np.array(AXES[axes].matrix, np.float64).T)


def _turned(splats: Splats, matrix: np.ndarray) -> Splats:
    # A Gaussian is its own mirror image through its centre: where the map mirrors, its negative, which turns, does.
    turn = Rotation.from_matrix(matrix * round(np.linalg.det(matrix))).as_quat(scalar_first=True)
    return Splats(
        means=splats.means @ splats.means.new_tensor(matrix.T),
        quats=quat_multiply(splats.quats.new_tensor(turn), splats.quats),
        scales=splats.scales,
        opacities=splats.opacities,
        colors=splats.colors,
    )


def arrays(splats: Splats) -> dict[str, np.ndarray]:
    """[N, ...] float32 by field name."""
    return {name: value.detach().cpu().float().numpy() for name, value in vars(splats).items()}


def visible(splats: Splats) -> dict[str, np.ndarray]:
    """Arrays [n, ...] float32 of the splats that can be seen, by field name."""
    keep = splats.opacities >= VISIBLE
    return arrays(Splats(*(value[keep] for value in vars(splats).values())))


def check_count(count: int, source: str) -> None:
    """Before anything of a file's size is allocated.

    Raises:
        AvatarError: there are none, or more than fit.
    """
    if not 0 < count <= MOST:
        raise AvatarError(
            f"{source} holds {count} splats; 1 to {MOST} can be read.", "Thin it out, or cut it into parts, first."
        )


def read_in(means: np.ndarray, quats: np.ndarray, scales: np.ndarray, opacities: np.ndarray, colors: np.ndarray,
            source: str, notes: tuple[str, ...] = ()) -> Read:  # fmt: skip
    """What is sound of a file's splats.

    Args:
        means, quats, scales, opacities, colors: float32 [N, ...] as :class:`Splats` has them, but for the length of
            the quaternions, and with whatever numbers were in the file; arrays of the caller's own, which it gives up.

    Raises:
        AvatarError: none of them is sound.
    """
    sound = np.isfinite(opacities)
    for values in (means, quats, scales, colors):
        sound &= np.isfinite(values).all(axis=1)
    if not sound.any():
        raise AvatarError(f"{source} holds no splat whose numbers are finite.", "Export the file again.")
    if not sound.all():
        notes += (f"{(~sound).sum()} of {len(sound)} splats have numbers that are not finite, and were left out.",)
        means, quats, scales, opacities, colors = (x[sound] for x in (means, quats, scales, opacities, colors))
    for start in range(0, len(quats), CHUNK):  # in place and by parts, since files may be most of the memory
        part = quats[start : start + CHUNK]
        part /= np.abs(part).max(axis=1, keepdims=True).clip(min=SMALLEST)
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        part[:] = np.where(lengths > HALF, part / lengths.clip(min=HALF), (1, 0, 0, 0))  # no direction: not turned
    scales.clip(SMALLEST, None, out=scales)
    opacities.clip(0, 1, out=opacities)
    return Read(Splats(*(torch.from_numpy(part) for part in (means, quats, scales, opacities, colors))), notes)


def harmonics_note(degree: str) -> str:
    """What to say where a file's colours change with the view."""
    return f"Spherical harmonics above degree 0 ({degree}) were left out: colours do not change with the view."
