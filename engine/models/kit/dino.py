"""DINOv3's vision transformer (arXiv 2508.10104).

Modules and parameters bear the names under which Hugging Face's ``transformers`` saves them, since our weights do.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from engine.models.kit.attention import attend
from engine.models.kit.rotary import Rotation, centred_rotation, rotate

EPS = 1e-5  # of all norms
INITIAL = 0.02  # standard deviation of the first weights
JITTER = 2.0  # in training, all places are stretched by one random factor, from 1 / this to this


class VisionTransformer(nn.Module):
    """Pictures cut into patches, whose tokens look at one another and at a few without a place.

    Args:
        width: channels. depth: blocks. heads: of each block.
        patch: px.
        registers: learned tokens beside the patches, and a further one for the whole picture.
    """

    def __init__(self, width: int, depth: int, heads: int, patch: int, registers: int):
        super().__init__()
        self.head_width, self.patch = width // heads, patch
        self.embeddings = Embeddings(width, patch, registers)
        self.model = nn.ModuleDict({"layer": nn.ModuleList(Layer(width, heads) for _ in range(depth))})
        self.norm = nn.LayerNorm(width, EPS)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.normal_(module.weight, std=INITIAL)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, pixels: torch.Tensor, taps: tuple[int, ...]) -> list[torch.Tensor]:
        """Patch tokens after each tapped block, through the final norm.

        Args:
            pixels: [N, 3, H, W], normalised, H and W multiples of the patch.
            taps: block numbers, ascending.

        Returns:
            One [N, h · w, C] per tap, row by row, for h × w patches.
        """
        tokens = self.embeddings(pixels)
        rows, columns = (side // self.patch for side in pixels.shape[2:])
        unplaced = tokens.shape[1] - rows * columns
        rotation = self._places(rows, columns, pixels.device).after(unplaced)
        tapped = []
        for number, layer in zip(range(taps[-1] + 1), self.model["layer"].children(), strict=False):
            tokens = layer(tokens, rotation)
            if number in taps:
                tapped.append(self.norm(tokens)[:, unplaced:])
        return tapped

    def _places(self, rows: int, columns: int, device: torch.device) -> Rotation:
        """The patches' rotary table; made anew for every call, so a network that was built on "meta" has it too."""
        stretch = 1.0
        if self.training:
            stretch = torch.empty(1, device=device).uniform_(-math.log(JITTER), math.log(JITTER)).exp()
        return centred_rotation(rows, columns, self.head_width, device, stretch=stretch)


class Embeddings(nn.Module):
    """What a picture's tokens start from."""

    def __init__(self, width: int, patch: int, registers: int):
        super().__init__()
        self.cls_token = nn.Parameter(INITIAL * torch.randn(1, 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width), requires_grad=False)  # only pre-training used it
        self.register_tokens = nn.Parameter(INITIAL * torch.randn(1, registers, width))
        self.patch_embeddings = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] to [N, L, C]: first the tokens without a place (the whole picture's, the registers)."""
        unplaced = torch.cat((self.cls_token, self.register_tokens), dim=1).expand(len(pixels), -1, -1)
        return torch.cat((unplaced, self.patch_embeddings(pixels).flatten(2).transpose(1, 2)), dim=1)


class Layer(nn.Module):
    """A block: tokens [N, L, C] look at all of their picture, then think, each with a learned gain per channel."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, EPS)
        # A bias of the keys would add the same to all scores of a query, which the softmax takes off again.
        self.attention = nn.ModuleDict({f"{name}_proj": nn.Linear(width, width, bias=name != "k") for name in "kvqo"})
        self.layer_scale1 = nn.ParameterDict({"lambda1": torch.ones(width)})
        self.norm2 = nn.LayerNorm(width, EPS)
        self.mlp = nn.ModuleDict({"up_proj": nn.Linear(width, 4 * width), "down_proj": nn.Linear(4 * width, width)})
        self.layer_scale2 = nn.ParameterDict({"lambda1": torch.ones(width)})

    def forward(self, x: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        x = x + self.layer_scale1["lambda1"] * self._look(self.norm1(x), rotation)
        hidden = functional.gelu(self.mlp["up_proj"](self.norm2(x)))
        return x + self.layer_scale2["lambda1"] * self.mlp["down_proj"](hidden)

    def _look(self, x: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        q, k, v = (
            self.attention[f"{name}_proj"](x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in "qkv"
        )  # fmt: skip
        heads = attend(rotate(q, rotation), rotate(k, rotation), v)  # [N, H, L, D]
        return self.attention["o_proj"](heads.transpose(1, 2).flatten(2))
