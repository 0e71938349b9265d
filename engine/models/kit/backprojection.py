"""The photos' colour at every texel of a posed mesh: project, look up, take the median (MATCH, arXiv 2603.15811)."""

from __future__ import annotations

import torch

from engine.models.kit.attention import Neighbours

BEST_VIEWS = 5  # looked at per UV token


@torch.no_grad()
def backproject(
    images: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    positions: torch.Tensor,
    neighbours: Neighbours,
    best_views: int = BEST_VIEWS,
) -> torch.Tensor:
    """Colours of texels from the views in which the registration says that their UV token is seen.

    There is no depth test: a hidden token has no score in that view. Nearest pixel; the median per channel is the lower
    of the middle two.

    Args:
        images: [B, V, 3, H, W]. viewmats: [B, V, 4, 4] world to camera. Ks: [B, V, 3, 3] pixels.
        positions: [B, T, P, 3] metres, the P texels of every UV token.
        neighbours: of the T UV tokens.

    Returns:
        [B, T, P, 3], 0 where no view shows a texel.
    """
    batch, views, _, height, width = images.shape
    tokens, texels = positions.shape[1:3]
    votes = _votes(neighbours, views)  # [B, T, V]
    votes, chosen = votes.topk(min(best_views, views), dim=-1)  # [B, T, v]
    person = torch.arange(batch, device=images.device)[:, None, None]
    camera = viewmats[person, chosen]  # [B, T, v, 4, 4]
    points = positions[:, :, None] @ camera[..., :3, :3].transpose(-2, -1) + camera[..., None, :3, 3]
    projected = points @ Ks[person, chosen].transpose(-2, -1)  # [B, T, v, P, 3]
    pixels = (projected[..., :2] / projected[..., 2:] - 0.5).round()
    size = pixels.new_tensor((width, height))
    valid = ((pixels >= 0) & (pixels < size)).all(-1) & (votes > 0)[..., None]
    x, y = torch.where(valid[..., None], pixels, 0).long().unbind(-1)
    flat = ((person[..., None] * views + chosen[..., None]) * height + y) * width + x
    colors = images.movedim(2, -1).reshape(-1, 3)[flat.flatten()].view(*flat.shape, 3)
    colors = torch.where(valid[..., None], colors, torch.nan)
    return colors.nanmedian(dim=2).values.nan_to_num(0).view(batch, tokens, texels, 3)


def _votes(neighbours: Neighbours, views: int) -> torch.Tensor:
    """[B, T, V]: the sum of a token's scores that fall into each view."""
    score = neighbours.score
    votes = score.new_zeros(*score.shape[:2], views)
    return votes.scatter_add(2, neighbours.index // neighbours.per_view, score)
