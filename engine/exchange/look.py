"""Pictures of splats with their depth: what is seen where, and where in space that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.gaussians.gaussians import Splats
from engine.rendering import Camera
from engine.splatting import rasterization

BACKGROUND = 0.6  # grey behind them: neither dark nor light hair vanishes before it
SOLID = 0.5  # of alpha, from which a pixel's depth counts


@dataclass(frozen=True)
class Look:
    """What a camera sees: picture [H, W, 3] uint8 sRGB over grey, alpha [H, W], depth [H, W] with NaN where hardly
    anything is."""

    camera: Camera
    picture: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray

    def places(self, pixels: np.ndarray) -> np.ndarray:
        """[L, 3] where the surface is at pixels [L, 2]; NaN where there is none."""
        height, width = self.depth.shape
        column, row = pixels.astype(int).clip(0, (width - 1, height - 1)).T
        flat = (pixels - self.camera.K[:2, 2]) / self.camera.K[0, 0]
        seen = np.column_stack([flat, np.ones(len(flat))]) * self.depth[row, column, None]
        rotation, shift = self.camera.viewmat[:3, :3], self.camera.viewmat[:3, 3]
        return (seen - shift) @ rotation

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """[L, 3] unit, the lines of sight of pixels [L, 2] in space."""
        flat = (pixels - self.camera.K[:2, 2]) / self.camera.K[0, 0]
        ray = np.column_stack([flat, np.ones(len(flat))])
        return ray / np.linalg.norm(ray, axis=1, keepdims=True) @ self.camera.viewmat[:3, :3]

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """[L, 2] where places [L, 3] are seen, all of them before the camera."""
        seen = points @ self.camera.viewmat[:3, :3].T + self.camera.viewmat[:3, 3]
        return seen[:, :2] / seen[:, 2:] * self.camera.K[0, 0] + self.camera.K[:2, 2]

    def covers(self, points: np.ndarray, by: float) -> np.ndarray:
        """[L] bool: whether places [L, 3] lie more than ``by`` behind what is seen there, or out of the picture."""
        pixels = self.pixels(points)
        height, width = self.depth.shape
        column, row = np.floor(pixels).astype(int).clip(0, (width - 1, height - 1)).T
        depths = points @ self.camera.viewmat[2, :3] + self.camera.viewmat[2, 3]
        beyond = ((pixels < 0) | (pixels >= (width, height))).any(axis=1)
        return beyond | (depths > self.depth[row, column] + by)


@torch.no_grad()
def look(splats: Splats, camera: Camera) -> Look:
    """What a camera sees of splats; its pixels are square."""
    drawn, alphas, _ = rasterization(
        splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
        torch.from_numpy(camera.viewmat).to(splats.means)[None], torch.from_numpy(camera.K).to(splats.means)[None],
        camera.width, camera.height,
    )  # fmt: skip
    drawn, alpha = drawn[0].cpu(), alphas[0].cpu()
    picture = ((drawn[..., :3] + BACKGROUND * (1 - alpha)).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    depth = torch.where(alpha > SOLID, drawn[..., 3:] / alpha, torch.nan)[..., 0].numpy()
    return Look(camera, picture, alpha[..., 0].numpy(), depth)
