"""The rasteriser's specification in plain PyTorch: every Gaussian at every pixel, differentiated by autograd.

Slow and memory-hungry on purpose (pixels × Gaussians at once): for tests with small N, in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.splatting.kernels.constants import (
    ALPHA_CAP,
    ALPHA_MIN,
    EPS2D,
    FAR_PLANE,
    FRUSTUM_MARGIN,
    TRANSMITTANCE_MIN,
)


@dataclass(frozen=True)
class Projected:
    """N Gaussians on one camera's image.

    Attributes:
        means2d: [N, 2] pixels. covariances: [N, 2, 2] square pixels, low-pass included. depths: [N] metres.
        kept: [N] bool, False where a Gaussian is culled by depth, opacity or a value that is not finite.
    """

    means2d: torch.Tensor
    covariances: torch.Tensor
    depths: torch.Tensor
    kept: torch.Tensor


def rotation_matrices(quats: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [N, 3, 3] of quaternions [N, 4] wxyz of any length but 0."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def project(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    colors: torch.Tensor,
    viewmat: torch.Tensor,
    K: torch.Tensor,
    width: int,
    height: int,
    near_plane: float,
) -> Projected:
    """EWA projection with gsplat's clamp of the Jacobian; arguments as :func:`engine.splatting.rasterization`."""
    centres = means @ viewmat[:3, :3].T + viewmat[:3, 3]
    z = centres[:, 2]
    finite = torch.cat([means, quats, scales, opacities[:, None], colors], -1).isfinite().all(-1)
    kept = finite & (z >= near_plane) & (z <= FAR_PLANE) & (opacities >= ALPHA_MIN)
    z = torch.where(kept, z, 1.0)
    focal, centre = K[[0, 1], [0, 1]], K[:2, 2]
    size = torch.tensor([width, height], dtype=means.dtype)
    margin = FRUSTUM_MARGIN * 0.5 * size / focal
    slopes = centres[:, :2] / z[:, None]
    clamped = slopes.maximum(-centre / focal - margin).minimum((size - centre) / focal + margin)
    jacobians = torch.zeros(len(means), 2, 3, dtype=means.dtype)
    jacobians[:, 0, 0] = focal[0] / z
    jacobians[:, 1, 1] = focal[1] / z
    jacobians[:, :, 2] = -focal * clamped / z[:, None]
    axes = jacobians @ viewmat[:3, :3] @ (rotation_matrices(quats) * scales[:, None, :])
    covariances = axes @ axes.transpose(-1, -2) + EPS2D * torch.eye(2, dtype=means.dtype)
    return Projected(slopes * focal + centre, covariances, z, kept)


def composite(
    pixels: torch.Tensor,
    means2d: torch.Tensor,
    covariances: torch.Tensor,
    opacities: torch.Tensor,
    features: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blend splats, sorted front to back, at pixels.

    Args:
        pixels: [P, 2] positions in pixels. means2d: [M, 2]. covariances: [M, 2, 2]. opacities: [M]. features: [M, F].

    Returns:
        Summed features [P, F] and alphas [P].
    """
    dx, dy = (pixels[:, None] - means2d).unbind(-1)  # [P, M]
    conics = torch.linalg.inv(covariances)
    sigmas = 0.5 * (conics[:, 0, 0] * dx * dx + conics[:, 1, 1] * dy * dy) + conics[:, 0, 1] * dx * dy
    alphas = (opacities * torch.exp(-sigmas)).clamp(max=ALPHA_CAP)
    alphas = torch.where(alphas >= ALPHA_MIN, alphas, 0.0)
    log_behind = torch.log1p(-alphas).cumsum(-1)  # transmittance behind each splat, which only falls
    log_before = torch.nn.functional.pad(log_behind, (1, 0))[:, :-1]
    blended = log_behind.exp() > TRANSMITTANCE_MIN
    weights = torch.where(blended, alphas * log_before.exp(), 0.0)
    transmittances = torch.where(blended, torch.log1p(-alphas), 0.0).sum(-1).exp()
    return weights @ features, 1.0 - transmittances


def pixel_centres(width: int, height: int, dtype: torch.dtype) -> torch.Tensor:
    """Pixel centres [H, W, 2] in pixels: x + 0.5, y + 0.5."""
    y, x = torch.meshgrid(torch.arange(height, dtype=dtype), torch.arange(width, dtype=dtype), indexing="ij")
    return torch.stack([x, y], -1) + 0.5


def rasterization(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    colors: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    width: int,
    height: int,
    *,
    near_plane: float = 0.01,
    backgrounds: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The slow twin of :func:`engine.splatting.rasterization`: same arguments, its ``renders`` and ``alphas``."""
    pixels = pixel_centres(width, height, means.dtype).reshape(-1, 2)
    renders, alphas = [], []
    for c, viewmat in enumerate(viewmats):
        flat = project(means, quats, scales, opacities, colors, viewmat, Ks[c], width, height, near_plane)
        kept = flat.kept.nonzero()[:, 0]
        order = kept[flat.depths[kept].argsort(stable=True)]
        features = torch.cat([colors, flat.depths[:, None]], -1)
        summed, alpha = composite(
            pixels, flat.means2d[order], flat.covariances[order], opacities[order], features[order]
        )
        if backgrounds is not None:
            summed = summed + (1.0 - alpha)[:, None] * torch.nn.functional.pad(backgrounds[c], (0, 1))
        renders.append(summed.reshape(height, width, 4))
        alphas.append(alpha.reshape(height, width, 1))
    return torch.stack(renders), torch.stack(alphas)
