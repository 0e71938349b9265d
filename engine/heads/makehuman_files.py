"""Readers of MakeHuman's base mesh and shape targets.

They are a dozen lines because the format's groups, quads and separate UV indices are all needed, and the kept libraries
(trimesh, meshio) drop one or the other.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class BaseMesh:
    """The whole hm08 body in its own units. positions [V, 3] dm; quads: (group, corners [4], uv corners [4])."""

    positions: np.ndarray
    uv: np.ndarray
    quads: list[tuple[str, list[int], list[int]]]

    def group(self, name: str) -> np.ndarray:
        """Sorted vertex indices of a named group."""
        return np.unique([i for group, corners, _ in self.quads if group == name for i in corners])


def read_base(path: Path) -> BaseMesh:
    """Read ``base.obj`` with its groups, quads and UV indices."""
    positions, uv, quads, group = [], [], [], ""
    for line in path.read_text().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            positions.append([float(x) for x in words[1:4]])
        elif words[0] == "vt":
            uv.append([float(x) for x in words[1:3]])
        elif words[0] == "g":
            group = words[1]
        elif words[0] == "f":
            corners = [corner.split("/") for corner in words[1:]]
            quads.append((group, [int(c[0]) - 1 for c in corners], [int(c[1] or 0) - 1 for c in corners]))
    return BaseMesh(np.array(positions), np.array(uv), quads)


def read_target(path: Path, count: int) -> np.ndarray:
    """Read a ``.target`` or ``.target.gz`` file: dense deltas [count, 3] in dm."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    delta = np.zeros((count, 3))
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and words[0].isdigit():
            delta[int(words[0])] = [float(x) for x in words[1:]]
    return delta
