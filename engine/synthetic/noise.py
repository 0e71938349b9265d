"""Smooth random functions of a place in space, so that painted skin has no seams where its UV map has."""

from __future__ import annotations

import numba
import numpy as np

LATTICE = 32  # cells after which the noise repeats


def fractal(points: np.ndarray, cell: float, octaves: int, rng: np.random.Generator) -> np.ndarray:
    """[M] float32, about zero mean and unit deviation: ``octaves`` of gradient noise, each half as coarse and as strong.

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
    return total * np.float32(3.0 / np.sqrt(power) / np.sqrt(3.0))


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


@numba.njit(cache=True, parallel=True)
def _add_noise(points, turn, shift, gradients, strength, total):
    """Perlin's gradient noise (doi 10.1145/566654.566636) with normally distributed gradients."""
    for m in numba.prange(len(points)):
        x, y, z = points[m]
        value = np.float32(0.0)
        place, low = np.empty(3, np.float32), np.empty(3, np.int64)
        for axis in range(3):
            place[axis] = turn[axis, 0] * x + turn[axis, 1] * y + turn[axis, 2] * z + shift[axis]
            low[axis] = int(np.floor(place[axis]))
            place[axis] -= low[axis]
        for corner in range(8):
            i, j, k = corner & 1, (corner >> 1) & 1, corner >> 2
            dx, dy, dz = place[0] - i, place[1] - j, place[2] - k
            weight = _fade(1 - abs(dx)) * _fade(1 - abs(dy)) * _fade(1 - abs(dz))
            g = gradients[(low[0] + i) % LATTICE, (low[1] + j) % LATTICE, (low[2] + k) % LATTICE]
            value += weight * (g[0] * dx + g[1] * dy + g[2] * dz)
        total[m] += strength * value


@numba.njit(cache=True, inline="always")
def _fade(t):
    return t * t * t * (t * (6.0 * t - 15.0) + 10.0)
