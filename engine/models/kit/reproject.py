"""Photos to texture: every pixel is thrown onto the texel that its correspondence names (UIKA, arXiv 2601.07603)."""

from __future__ import annotations

import torch


def per_view_textures(images: torch.Tensor, mask: torch.Tensor, uv: torch.Tensor, size: int) -> torch.Tensor:
    """Each photo's own texture.

    Args:
        images: [B, V, 3, H, W] RGB 0..1. mask: [B, V, 1, H, W]; a pixel counts fully where it is above 0.
        uv: [B, V, 2, H, W], v down, clamped to 0..1.
        size: S, texels per side; (u, v) = (1, 1) is the centre of the last one.

    Returns:
        [B, V, 3, S, S]: mean colour of the pixels that hit a texel, black where none did.
    """
    batch, views = images.shape[:2]
    sums, hits = _scatter(images.flatten(0, 1), mask.flatten(0, 1), uv.flatten(0, 1), size)
    return (sums / hits.clamp_min(1)).view(batch, views, 3, size, size)


def aggregate(images: torch.Tensor, mask: torch.Tensor, uv: torch.Tensor, size: int) -> torch.Tensor:
    """All photos of a person in one texture, with how sure it is. Every pixel weighs the same.

    Args:
        See :func:`per_view_textures`.

    Returns:
        [B, 4, S, S]: mean colour, black where no pixel hit; confidence log(1 + hits) / its maximum over the map, 0..1.
    """
    wide = [each.movedim(1, -2).flatten(-2) for each in (images, mask, uv)]  # [B, C, H, V·W], views side by side
    sums, hits = _scatter(wide[0], wide[1], wide[2], size)
    sure = hits.log1p()
    confidence = sure / sure.amax(dim=(-2, -1), keepdim=True).clamp_min(1e-6)
    return torch.cat((sums / hits.clamp_min(1), confidence), dim=1)


def _scatter(
    images: torch.Tensor, mask: torch.Tensor, uv: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums [N, 3, S, S] and hits [N, 1, S, S] of N pictures [N, 3, H, W]."""
    column, row = (uv.clamp(0, 1) * (size - 1)).round().long().unbind(1)
    picture = torch.arange(len(images), device=images.device)[:, None, None]
    texel = ((picture * size + row) * size + column).flatten()
    values = torch.cat((images, torch.ones_like(images[:, :1])), dim=1) * (mask > 0)
    rows = values.movedim(1, -1).flatten(0, 2)  # [N·H·W, 4]
    total = rows.new_zeros(len(images) * size * size, 4).index_add(0, texel, rows)
    sums = total.view(-1, size, size, 4).movedim(-1, 1)
    return sums[:, :3], sums[:, 3:]
