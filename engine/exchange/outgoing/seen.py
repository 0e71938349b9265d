"""What of a cloud of splats is seen from outside, and from where."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from engine.gaussians.gaussians import Splats
from engine.progress import Progress
from engine.splatting import rasterization

SIZE = 320  # px
DISTANCE = 8.0  # of the cameras, in radii of the cloud: nearly parallel rays


@dataclass(frozen=True)
class Seen:
    """Of N splats.

    Attributes:
        total: [N] float64 what shows of them in all pictures, in m². most: [N] float32 the same of one picture.
        toward: [N, 3] float64 of length 1 or 0, the mean direction from which they are seen.
    """

    total: np.ndarray
    most: np.ndarray
    toward: np.ndarray

    def of(self, places: np.ndarray) -> Seen:
        """The same of some of the splats."""
        return Seen(self.total[places], self.most[places], self.toward[places])


def seen_from_outside(splats: Splats, views: int, progress: Progress, start: float, share: float) -> Seen:
    """Draw splats from all around; a splat's blending weights are the picture's gradient by its colour.

    Args:
        views: directions to look from. progress: told fractions from ``start``, over ``share``.

    Raises:
        Cancelled: the user asked to stop.
    """
    total, most = torch.zeros_like(splats.opacities, dtype=torch.float64), torch.zeros_like(splats.opacities)
    toward = torch.zeros_like(splats.means, dtype=torch.float64)
    low, high = splats.means.amin(dim=0), splats.means.amax(dim=0)
    centre = ((low + high) / 2).double().cpu().numpy()
    radius = float((high - low).norm()) / 2 + 3 * float(splats.scales.max())
    K = splats.means.new_tensor([[DISTANCE * SIZE / 2, 0, SIZE / 2], [0, DISTANCE * SIZE / 2, SIZE / 2], [0, 0, 1]])
    for number, direction in enumerate(directions(views)):
        progress.update(start + share * number / views)
        viewmat = splats.means.new_tensor(_looking(centre + DISTANCE * radius * direction, direction))
        colors = torch.ones_like(splats.colors).requires_grad_()
        with torch.enable_grad():
            picture = rasterization(
                splats.means,
                splats.quats,
                splats.scales,
                splats.opacities,
                colors,
                viewmat[None],
                K[None],
                SIZE,
                SIZE,
                near_plane=radius,
            )[0]
            weights = torch.autograd.grad(picture[..., 0].sum(), colors)[0][:, 0] * (2 * radius / SIZE) ** 2
        total += weights
        most = torch.maximum(most, weights)
        toward += weights[:, None].double() * torch.from_numpy(direction).to(toward)
    toward = toward / toward.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return Seen(total.cpu().numpy(), most.cpu().numpy(), toward.cpu().numpy())


def directions(count: int) -> np.ndarray:
    """[count, 3] directions all around, evenly: a Fibonacci lattice."""
    number = np.arange(count) + 0.5
    height, turn = 1 - 2 * number / count, math.pi * (1 + math.sqrt(5)) * number
    flat = np.sqrt(1 - height**2)
    return np.stack((np.cos(turn) * flat, height, np.sin(turn) * flat), axis=1)


def _looking(place: np.ndarray, back: np.ndarray) -> np.ndarray:
    """[4, 4] world to a camera at a place that looks against ``back``."""
    right = np.cross((0.0, 1.0, 0.0) if abs(back[1]) < 0.95 else (0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    rotation = np.stack((right, -np.cross(back, right), -back))
    viewmat = np.eye(4)
    viewmat[:3, :3], viewmat[:3, 3] = rotation, -rotation @ place
    return viewmat
