"""Smooth random functions of a place in space, so that painted skin has no seams where its UV map has."""

from __future__ import annotations

import numba
import numpy as np

from engine.kernels import njit

LATTICE = 32  # cells after which the noise repeats, a power of two
UNIT = 3.05  # brings one octave to unit deviation


def fractal(points: np.ndarray, cell: float, octaves: int, rng: np.random.Generator) -> np.ndarray:
    """[M] float32, about zero mean and unit deviation: ``octaves`` of gradient noise, each half as coarse and strong.

    Args:
        points: [M, 3] float32 metres. cell: metres, the size of the coarsest blobs.
    """
    total, power = np.zeros(len(points), np.float32), 0.0
    for octave in range(octaves):
        gradients = rng.standard_normal((LATTICE, LATTICE, LATTICE, 3), dtype=np.float32)
        turn = _random_rotation(rng) / (cell * 0.5**octave)
        shift = rng.uniform(0, LATTICE, 3)
        _add_noise(points, turn.astype(np.float32), shift.astype(np.float32), gradients, 0.5**octave, total)
        power += 0.25**octave
    return total * np.float32(UNIT / np.sqrt(power))


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    """[3, 3] uniform: a random unit quaternion's."""
    w, x, y, z = (q := rng.standard_normal(4)) / np.sqrt((q * q).sum())
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@njit(parallel=True)
def _add_noise(points, turn, shift, gradients, strength, total):
    """Perlin's gradient noise (doi 10.1145/566654.566636) with normally distributed gradients."""
    for m in numba.prange(len(points)):
        px, py, pz = points[m, 0], points[m, 1], points[m, 2]
        x = turn[0, 0] * px + turn[0, 1] * py + turn[0, 2] * pz + shift[0]
        y = turn[1, 0] * px + turn[1, 1] * py + turn[1, 2] * pz + shift[1]
        z = turn[2, 0] * px + turn[2, 1] * py + turn[2, 2] * pz + shift[2]
        x0, y0, z0 = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
        x, y, z = x - np.float32(x0), y - np.float32(y0), z - np.float32(z0)
        value = np.float32(0.0)
        for i in range(2):
            wx, dx, gx = _fade(x if i else 1 - x), x - np.float32(i), gradients[(x0 + i) & (LATTICE - 1)]
            for j in range(2):
                wy, dy, gy = wx * _fade(y if j else 1 - y), y - np.float32(j), gx[(y0 + j) & (LATTICE - 1)]
                for k in range(2):
                    dz, g = z - np.float32(k), gy[(z0 + k) & (LATTICE - 1)]
                    value += wy * _fade(z if k else 1 - z) * (g[0] * dx + g[1] * dy + g[2] * dz)
        total[m] += strength * value


@njit(inline="always")
def _fade(t):
    return t * t * t * (t * (6.0 * t - 15.0) + 10.0)
