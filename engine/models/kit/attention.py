"""The one attention of all networks: projections, norms of queries and keys, and who looks at whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from engine.models.kit.rotary import Rotation, rotate

QKNorm = Literal["none", "layer_head", "layer_full", "rms_head"]


SHORT = 64
"""Keys up to which PyTorch's fused attention takes up to ten times the plain one's time on a CPU: backwards, by the
thousand (registration-guided attention)."""


@dataclass(frozen=True)
class AttentionConfig:
    """What an attention is like.

    Attributes:
        width: C, channels of a token. heads: H, each of C / H channels in order.
        qk_norm: how queries and keys are normalised before the product: not at all, LayerNorm over each head's
            channels (one set of gains for all heads), LayerNorm over all channels, or RMS over each head's channels.
        bias: whether the four linear maps have one.
        eps: of the norms.
    """

    width: int
    heads: int
    qk_norm: QKNorm = "none"
    bias: bool = True
    eps: float = 1e-5


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q kᵀ / √D) v: queries [B, H, L, D], keys and values [B, H, M, D] to [B, H, L, D]."""
    if k.shape[-2] <= SHORT and q.device.type == "cpu":
        return (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1).to(v.dtype) @ v
    return functional.scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """Self-attention [B, L, C], or cross-attention to a context [B, M, C].

    Its steps are public, because joint and registration-guided attention put them together in other ways.

    Args:
        asks: False for a stream that others only look at: it has keys and values, but no queries and no output.
    """

    def __init__(self, config: AttentionConfig, asks: bool = True):
        super().__init__()
        self.config, self.asks = config, asks
        width, bias = config.width, config.bias
        self.key, self.value = nn.Linear(width, width, bias), nn.Linear(width, width, bias)
        self.key_norm = _qk_norm(config)
        if asks:
            self.query, self.out = nn.Linear(width, width, bias), nn.Linear(width, width, bias)
            self.query_norm = _qk_norm(config)

    def queries(self, x: torch.Tensor, rotation: Rotation | None = None) -> torch.Tensor:
        """[B, L, C] to [B, H, L, D]."""
        q = self._normed(self.query(x), self.query_norm)
        return q if rotation is None else rotate(q, rotation)

    def keys_values(self, x: torch.Tensor, rotation: Rotation | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, M, C] to keys and values [B, H, M, D]; values are never rotated."""
        k = self._normed(self.key(x), self.key_norm)
        return (k if rotation is None else rotate(k, rotation)), self._split(self.value(x))

    def merge(self, heads: torch.Tensor) -> torch.Tensor:
        """[B, H, L, D] through the output map to [B, L, C]."""
        return self.out(heads.transpose(-3, -2).flatten(-2))

    def forward(
        self, x: torch.Tensor, context: torch.Tensor | None = None, rotation: Rotation | None = None
    ) -> torch.Tensor:
        """[B, L, C] looks at itself, or at a context [B, M, C] (which is never rotated)."""
        if context is None:
            return self.merge(attend(self.queries(x, rotation), *self.keys_values(x, rotation)))
        return self.merge(attend(self.queries(x, rotation), *self.keys_values(context)))

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.config.heads, -1)).transpose(-3, -2)

    def _normed(self, x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
        return self._split(norm(x)) if self.config.qk_norm == "layer_full" else norm(self._split(x))


def _qk_norm(config: AttentionConfig) -> nn.Module:
    head_width = config.width // config.heads
    match config.qk_norm:
        case "none":
            return nn.Identity()
        case "layer_head":
            return nn.LayerNorm(head_width, config.eps)
        case "layer_full":
            return nn.LayerNorm(config.width, config.eps)
        case "rms_head":
            return nn.RMSNorm(head_width, config.eps)


class JointAttention(nn.Module):
    """Two streams, each with its own projections, in one attention over both (MM-DiT, arXiv 2403.03206).

    Args:
        updates_context: False where nobody reads the context afterwards; its queries are then left out.
    """

    def __init__(self, config: AttentionConfig, updates_context: bool = True):
        super().__init__()
        self.own, self.context = Attention(config), Attention(config, asks=updates_context)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Updates for x [B, L, C] and, if it is updated, for the context [B, M, C]."""
        pairs = zip(self.own.keys_values(x), self.context.keys_values(context), strict=True)
        k, v = (torch.cat(pair, dim=-2) for pair in pairs)
        q = self.own.queries(x)
        if not self.context.asks:
            return self.own.merge(attend(q, k, v)), None
        both = attend(torch.cat((q, self.context.queries(context)), dim=-2), k, v)
        mine, theirs = both.split((x.shape[-2], context.shape[-2]), dim=-2)
        return self.own.merge(mine), self.context.merge(theirs)


@dataclass(frozen=True)
class Neighbours:
    """For every UV token the image tokens that are most likely to show the same skin.

    Attributes:
        index: [B, T, K] int64 into the image tokens of all views, one view after the other.
        score: [B, T, K], 0 where a neighbour was taken only to fill up.
        per_view: image tokens of each view.
    """

    index: torch.Tensor
    score: torch.Tensor
    per_view: int


def registration_attention(
    attention: Attention, uv: torch.Tensor, images: torch.Tensor, neighbours: Neighbours, chunk: int = 1024
) -> tuple[torch.Tensor, torch.Tensor]:
    """MATCH's registration-guided attention (arXiv 2603.15811, section 3.2).

    Every UV token and its K image tokens make one short sequence with full self-attention inside. The UV token keeps
    its own update; an image token gets the mean of the updates from all sequences in which its score is above 0.
    Neighbours of score 0 are still looked at. Cost does not grow with the number of views but for the projections.

    Tokens are projected before they are gathered, and updates averaged before the (linear) output map: the same result
    as sequence by sequence with K times less work.

    Args:
        uv: [B, T, C], normalised. images: [B, N, C], normalised, all views.
        chunk: sequences at once, to bound the memory.

    Returns:
        Updates [B, T, C] and [B, N, C].
    """
    batch, heads = uv.shape[0], attention.config.heads
    offset = torch.arange(batch, device=uv.device)[:, None, None] * images.shape[1]
    index = (neighbours.index + offset).flatten(0, 1)  # [S, K] into the image tokens of the whole batch
    seen = (neighbours.score > 0).flatten(0, 1).to(uv.dtype)
    own = _as_rows(attention, uv)  # q, k, v, each [S, C]
    theirs = _as_rows(attention, images)  # each [B·N, C]

    updates = []
    sums = torch.zeros_like(theirs[0])
    for part in torch.arange(len(index), device=uv.device).split(chunk):
        sequences = (torch.cat((o[part, None], t[index[part]]), 1) for o, t in zip(own, theirs, strict=True))
        q, k, v = (s.unflatten(-1, (heads, -1)).transpose(1, 2) for s in sequences)  # [s, H, 1 + K, D]
        result = attend(q, k, v).transpose(1, 2).flatten(2)  # [s, 1 + K, C]
        updates.append(result[:, 0])
        weighted = result[:, 1:] * seen[part, :, None]
        sums = sums.index_add(0, index[part].flatten(), weighted.flatten(0, 1))
    counts = uv.new_zeros(len(sums)).index_add(0, index.flatten(), seen.flatten())
    means = sums / counts.clamp_min(1)[:, None]
    # An image token that nobody saw gets no update, not even the output map's bias.
    image_updates = attention.out(means) * (counts > 0)[:, None]
    return attention.out(torch.cat(updates)).view_as(uv), image_updates.view_as(images)


def _as_rows(attention: Attention, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values with heads side by side: [B, L, C] to three of [B·L, C]."""
    heads = (attention.queries(tokens), *attention.keys_values(tokens))
    q, k, v = (h.transpose(1, 2).flatten(2).flatten(0, 1) for h in heads)
    return q, k, v
