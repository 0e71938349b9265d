"""Which image patches show the skin of which UV token, from a raster of the tracked mesh (MATCH, arXiv 2603.15811)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from engine.models.kit.attention import Neighbours

WEIGHT = 0.1  # λ of the paper's equation 3
SAMPLES = 2  # samples per image patch and axis: the UV image is thinned to this


@dataclass(frozen=True)
class RegistrationConfig:
    """How UV tokens find their image tokens.

    Attributes:
        resolution: R, texels per side of the texture. uv_patch: texels per side of a UV token.
        image_patch: px per side of an image token.
        count: K, neighbours per UV token.
        mode: "sum", as the paper writes the score, or "max", as the released code computes it.
        precision: in which uv is compared with the tokens' edges; the released code uses float16, whose steps near 1
            are half a texel at R = 1024.
    """

    resolution: int
    uv_patch: int
    image_patch: int
    count: int
    mode: Literal["sum", "max"] = "max"
    precision: torch.dtype = torch.float16

    @property
    def side(self) -> int:
        """UV tokens per side."""
        return self.resolution // self.uv_patch


@torch.no_grad()
def register(uv: torch.Tensor, mask: torch.Tensor, config: RegistrationConfig, chunk: int = 256) -> Neighbours:
    """The K best image tokens of every UV token. Ties are broken arbitrarily.

    Args:
        uv: [B, V, 2, H, W], v down. mask: [B, V, 1, H, W], above 0 where the mesh is seen.
        chunk: UV tokens at once, to bound the memory.

    Returns:
        Neighbours with T = side² UV tokens, row by row, and V · H/p · W/p image tokens.
    """
    tokens = torch.arange(config.side**2, device=uv.device).split(chunk)
    with torch.autocast(uv.device.type, enabled=False):  # the precision is the configuration's choice
        best = [
            [_scores(uv[b], mask[b], config, part).topk(config.count, dim=-1) for part in tokens]
            for b in range(len(uv))
        ]
    index, score = (torch.stack([torch.cat([t[i] for t in row]) for row in best]) for i in (1, 0))
    patches = (uv.shape[-2] // config.image_patch) * (uv.shape[-1] // config.image_patch)
    return Neighbours(index, score.float(), patches)


def registration_scores(uv: torch.Tensor, mask: torch.Tensor, config: RegistrationConfig) -> torch.Tensor:
    """All scores [B, T, V · H/p · W/p], in the configured precision; what :func:`register` chooses from."""
    tokens = torch.arange(config.side**2, device=uv.device)
    return torch.stack([_scores(uv[b], mask[b], config, tokens) for b in range(len(uv))])


def _scores(uv: torch.Tensor, mask: torch.Tensor, config: RegistrationConfig, tokens: torch.Tensor) -> torch.Tensor:
    """Scores [t, V·h·w] of some UV tokens in one person's photos.

    A UV token's region in a photo are the samples whose uv falls into its square. An image patch scores by the share of
    its samples in the region and, weakly, by how well the region fills the box around both: a patch that the region
    misses but surrounds still comes before a far one.
    """
    step = config.image_patch // SAMPLES
    thin = uv[:, :, ::step, ::step]
    views, _, rows, columns = thin.shape  # of samples
    owner = _owners(thin, mask[:, 0, ::step, ::step], config)  # [V, rows, columns], -1 for none

    local = torch.full((config.side**2 + 1,), -1, device=uv.device)  # token -> its place in this chunk
    local[tokens] = torch.arange(len(tokens), device=uv.device)
    view, row, column = (owner >= 0).nonzero().unbind(1)
    token = local[owner[view, row, column]]
    wanted = token >= 0
    view, row, column, token = view[wanted], row[wanted], column[wanted], token[wanted]

    patch_rows, patch_columns = rows // SAMPLES, columns // SAMPLES
    patches = patch_rows * patch_columns
    patch = (view * patch_rows + row // SAMPLES) * patch_columns + column // SAMPLES
    share = torch.zeros(len(tokens) * views * patches, device=uv.device)
    share = share.index_add(0, token * views * patches + patch, torch.ones_like(share[:1]).expand(len(patch)))
    share = (share / SAMPLES**2).view(len(tokens), views, patch_rows, patch_columns)

    region = token * views + view
    regions = (len(tokens), views, 1, 1)
    area = torch.bincount(region, minlength=len(tokens) * views).view(regions)
    top, bottom = (_extreme(region, row, how, area.numel()).view(regions) for how in ("amin", "amax"))
    left, right = (_extreme(region, column, how, area.numel()).view(regions) for how in ("amin", "amax"))
    y = SAMPLES * torch.arange(patch_rows, device=uv.device)[:, None]
    x = SAMPLES * torch.arange(patch_columns, device=uv.device)
    tall = torch.maximum(bottom, y + SAMPLES - 1) - torch.minimum(top, y) + 1
    wide = torch.maximum(right, x + SAMPLES - 1) - torch.minimum(left, x) + 1
    fill = area.to(config.precision) / (tall * wide).to(config.precision)

    share = share.to(config.precision)
    score = share + WEIGHT * fill if config.mode == "sum" else torch.maximum(share, WEIGHT * fill)
    return torch.where(area > 0, score, 0).flatten(1)


def _owners(uv: torch.Tensor, mask: torch.Tensor, config: RegistrationConfig) -> torch.Tensor:
    """[V, rows, columns] int64: the UV token whose square holds each sample, -1 where there is none.

    Token k's square runs from edge k to edge k + 1, half-open; along v the edges are counted from below, as in the
    released code, because there rounding goes the other way.
    """
    side, precision = config.side, config.precision
    edges = torch.arange(side + 1, device=uv.device) * config.uv_patch
    edges = (edges.to(precision) - 0.5) / (config.resolution - 1)
    across, up = (each.to(precision).float().contiguous() for each in (uv[:, 0], 1 - uv[:, 1]))
    columns = torch.bucketize(across, edges.float(), right=True) - 1
    from_below = (1 - edges).flip(0).float()
    upward = torch.bucketize(up, from_below, right=True) - 1
    inside = (mask > 0) & (columns >= 0) & (columns < side) & (upward >= 0) & (upward < side)
    return torch.where(inside, (side - 1 - upward) * side + columns, -1)


def _extreme(region: torch.Tensor, values: torch.Tensor, how: str, count: int) -> torch.Tensor:
    """[count] smallest or largest value of each region; 0 where a region is empty."""
    return values.new_zeros(count).scatter_reduce(0, region, values, how, include_self=False)
