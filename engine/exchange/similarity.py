"""Scaled rotations and shifts of splats: what is free in a file that states neither axes nor a unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.gaussians.gaussians import Splats
from engine.gaussians.rotations import matrix_to_quat, quat_multiply


@dataclass(frozen=True)
class Similarity:
    """x to ``scale · rotation · x + shift``: scale above 0, rotation [3, 3], shift [3], all float64."""

    scale: float
    rotation: np.ndarray
    shift: np.ndarray

    @staticmethod
    def of(matrix: np.ndarray) -> Similarity:
        """From scale · rotation and shift as one [3, 4]."""
        scale = float(np.cbrt(np.linalg.det(matrix[:, :3])))
        return Similarity(scale, matrix[:, :3] / scale, matrix[:, 3])

    def inverse(self) -> Similarity:
        return Similarity(1 / self.scale, self.rotation.T, -self.rotation.T @ self.shift / self.scale)

    def after(self, first: Similarity) -> Similarity:
        """``first``, then this one."""
        return Similarity(self.scale * first.scale, self.rotation @ first.rotation, self.points(first.shift))

    def points(self, points: np.ndarray) -> np.ndarray:
        """[..., 3] places, moved."""
        return self.scale * points @ self.rotation.T + self.shift

    def splats(self, splats: Splats) -> Splats:
        """Splats, moved, turned and scaled; colours of degree 0 look the same from everywhere."""
        means = self.points(splats.means.detach().cpu().double().numpy())
        turn = matrix_to_quat(torch.from_numpy(self.rotation)).to(splats.quats)
        return Splats(
            torch.from_numpy(means).to(splats.means),
            quat_multiply(turn.expand_as(splats.quats), splats.quats),
            splats.scales * self.scale,
            splats.opacities,
            splats.colors,
        )
