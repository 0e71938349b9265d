"""Transformer blocks, and the topologies in which networks apply them: who looks at whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from engine.models.kit.attention import (
    Attention,
    AttentionConfig,
    JointAttention,
    Neighbours,
    QKNorm,
    registration_attention,
)
from engine.models.kit.rotary import Rotation

SWIGLU_MULTIPLE = 256  # LLaMA (arXiv 2302.13971): hidden width = 2/3 · 4 C, rounded up to a multiple of this


def swiglu_hidden(width: int) -> int:
    """LLaMA's hidden width for tokens of ``width`` channels."""
    return -(-int(2 / 3 * 4 * width) // SWIGLU_MULTIPLE) * SWIGLU_MULTIPLE


class SwiGLU(nn.Module):
    """down(silu(gate x) · up x), without biases."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class MLP(nn.Module):
    """down(gelu(up x)); ``approximate`` chooses GELU's tanh form."""

    def __init__(self, width: int, hidden: int, approximate: bool = False):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.form = "tanh" if approximate else "none"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(functional.gelu(self.up(x), approximate=self.form))


class LayerScale(nn.Module):
    """A learned gain per channel, small at the start, so that deep stacks begin near the identity."""

    def __init__(self, width: int, initial: float):
        super().__init__()
        self.gain = nn.Parameter(torch.full((width,), initial))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gain


@dataclass(frozen=True)
class BlockConfig:
    """What a block is like.

    Attributes:
        width: C. heads: H.
        style: "vit": LayerNorm, GELU of 4 C, biases. "llama": RMS norms, SwiGLU, no biases.
        qk_norm: see :class:`engine.models.kit.attention.AttentionConfig`.
        layer_scale: initial gain of each residual branch; None for none.
        cross: whether it looks at a context, which it then normalises too, instead of at itself.
    """

    width: int
    heads: int
    style: Literal["vit", "llama"] = "vit"
    qk_norm: QKNorm = "none"
    layer_scale: float | None = None
    cross: bool = False


class Block(nn.Module):
    """Pre-norm residual block on tokens [B, L, C]: look at oneself or at a context, then think."""

    def __init__(self, config: BlockConfig):
        super().__init__()
        width, llama = config.width, config.style == "llama"
        make_norm = nn.RMSNorm if llama else nn.LayerNorm
        self.attention = Attention(AttentionConfig(width, config.heads, config.qk_norm, bias=not llama))
        self.mlp = SwiGLU(width, swiglu_hidden(width)) if llama else MLP(width, 4 * width)
        self.norm1, self.norm2 = make_norm(width, eps=1e-5), make_norm(width, eps=1e-5)
        if config.cross:
            self.norm_context = make_norm(width, eps=1e-5)
        gain = config.layer_scale
        self.scale1 = nn.Identity() if gain is None else LayerScale(width, gain)
        self.scale2 = nn.Identity() if gain is None else LayerScale(width, gain)

    def think(self, x: torch.Tensor) -> torch.Tensor:
        """The feed-forward half."""
        return x + self.scale2(self.mlp(self.norm2(x)))

    def forward(
        self, x: torch.Tensor, context: torch.Tensor | None = None, rotation: Rotation | None = None
    ) -> torch.Tensor:
        """[B, L, C] and, for a cross block, its context [B, M, C]."""
        seen = None if context is None else self.norm_context(context)
        return self.think(x + self.scale1(self.attention(self.norm1(x), seen, rotation)))


def per_view(block: Block, x: torch.Tensor, rotation: Rotation | None = None) -> torch.Tensor:
    """Tokens of every view [B, V, L, C] look at their own view only."""
    return block(x.flatten(0, 1), rotation=rotation).view_as(x)


def across_views(block: Block, x: torch.Tensor, rotation: Rotation | None = None) -> torch.Tensor:
    """Tokens of every view [B, V, L, C] look at all views. Views have the same positions, so no order."""
    everywhere = None if rotation is None else rotation.repeat(x.shape[1])
    return block(x.flatten(1, 2), rotation=everywhere).view_as(x)


class AlternatingPair(nn.Module):
    """A block within each view, then one across all views (VGGT, arXiv 2503.11651)."""

    def __init__(self, config: BlockConfig):
        super().__init__()
        self.frame, self.whole = Block(config), Block(config)

    def forward(self, x: torch.Tensor, rotation: Rotation | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, V, L, C] to the new tokens and, for decoders, both halves' outputs side by side [B, V, L, 2 C]."""
        within = per_view(self.frame, x, rotation)
        across = across_views(self.whole, within, rotation)
        return across, torch.cat((within, across), dim=-1)


def registered(
    block: Block, uv: torch.Tensor, images: torch.Tensor, neighbours: Neighbours
) -> tuple[torch.Tensor, torch.Tensor]:
    """UV tokens [B, T, C] and image tokens [B, V, L, C] exchange what the registration says belongs together."""
    flat = images.flatten(1, 2)
    mine, theirs = registration_attention(block.attention, block.norm1(uv), block.norm1(flat), neighbours)
    return block.think(uv + mine), block.think(flat + theirs).view_as(images)


class JointBlock(nn.Module):
    """Tokens and n contexts look at each other, each context in its own joint attention (UIKA, arXiv 2601.07603).

    All joint attentions start from the same normalised tokens, and their updates add up. The epsilons are the released
    network's.

    Args:
        contexts: n.
        updates_contexts: False in a last block, after which nobody reads the contexts.
    """

    def __init__(self, width: int, heads: int, contexts: int, updates_contexts: bool = True):
        super().__init__()
        config = AttentionConfig(width, heads, qk_norm="rms_head", eps=1e-6)
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.context_norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-5) for _ in range(contexts))
        self.joints = nn.ModuleList(JointAttention(config, updates_contexts) for _ in range(contexts))
        self.mlp = MLP(width, 4 * width, approximate=True)
        thinking = contexts if updates_contexts else 0
        self.context_mlps = nn.ModuleList(MLP(width, 4 * width, approximate=True) for _ in range(thinking))

    def forward(self, x: torch.Tensor, contexts: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """[B, L, C] and n contexts [B, M, C] to the same shapes."""
        normed = self.norm(x)
        pairs = zip(self.joints, self.context_norms, contexts, strict=True)
        updates = [joint(normed, norm(context)) for joint, norm, context in pairs]
        x = _think(x + torch.stack([mine for mine, _ in updates]).sum(0), self.mlp)
        if not self.context_mlps:
            return x, contexts
        theirs = (context + update for context, (_, update) in zip(contexts, updates, strict=True))
        return x, [_think(context, mlp) for context, mlp in zip(theirs, self.context_mlps, strict=True)]


def _think(x: torch.Tensor, mlp: nn.Module) -> torch.Tensor:
    return x + mlp(functional.layer_norm(x, x.shape[-1:], eps=1e-6))
