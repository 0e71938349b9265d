"""Runs official UIKA's networks: on a GPU in bfloat16, else on the CPU with the weights left in their file.

Tensors of a safetensors file are mapped into memory, not read: what a layer needs comes in when it runs, and the
system takes it back where memory is short. Estimator and network are loaded one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import nn

from engine.gaussians.gaussians import Splats
from engine.models.importers import uika_estimator_from, uika_network_from
from engine.models.kit.blocks import Block, JointBlock
from engine.models.kit.correspondence import Correspondence
from engine.models.kit.dino import Layer
from engine.models.kit.reproject import aggregate, per_view_textures
from engine.models.uika import UIKA
from engine.progress import Progress

ONCE, PER_PHOTO, PER_PAIR = 14.0e12, 4.4e12, 0.11e12
"""Operations of both networks in their paper sizes, counted with PyTorch: whatever the photos, for each, and for each
squared."""
PROBE, ROUNDS = 1024, 10  # rows and columns of the product by which a processor's speed is told; how often
REACHED = 0.8  # of that speed, by the networks


def expected_seconds(photos: int) -> float:
    """What the networks take on this CPU for so many photos; measured once on a matrix product, since processors differ
    by ten times. On a GPU it is seconds."""
    operations = ONCE + PER_PHOTO * photos + PER_PAIR * photos**2
    return operations / _speed()


@lru_cache(maxsize=1)
def _speed() -> float:
    """Operations a second."""
    a, b = torch.rand(2, PROBE, PROBE)
    torch.mm(a, b)  # the first is slower than all others
    began = time.perf_counter()
    for _ in range(ROUNDS):
        torch.mm(a, b)
    return REACHED * ROUNDS * 2 * PROBE**3 / (time.perf_counter() - began)


class OfficialUIKA:
    """Both networks of a checkpoint.

    Args:
        tensors: the checkpoint's, by name. source: its file's name. config: the sizes.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], source: str, config: UIKA):
        self.tensors, self.source, self.config = tensors, source, config

    @torch.no_grad()
    def correspondence(
        self, images: torch.Tensor, mask: torch.Tensor, progress: Progress, device: torch.device
    ) -> Correspondence:
        """The estimator's, on the CPU, see :meth:`engine.models.kit.uv_estimator.UVEstimator.forward`."""
        estimator = uika_estimator_from(self.tensors, self.source, self.config.estimator).to(device)
        with _reported(estimator, progress, 0.0, 0.05), _precision(device):
            found = estimator(images.to(device), mask.to(device))
        return Correspondence(*(each.float().cpu() for each in vars(found).values()))

    @torch.no_grad()
    def gaussians(
        self,
        images: torch.Tensor,
        where: Correspondence,
        texels: torch.Tensor,
        surface: torch.Tensor,
        progress: Progress,
        device: torch.device,
    ) -> Splats:
        """The network's, see :meth:`engine.models.uika.UIKANetwork.forward`; fields [B, M, ...] on the CPU."""
        network = uika_network_from(self.tensors, self.source, self.config).to(device)
        photos, mask, uv = (each.to(device) for each in (images, where.mask, where.uv))
        with _reported(network, progress, 0.05, 0.95):
            with _precision(device):
                contexts = [network.encode(photos, 0)]
                if self.config.uv_attention:
                    contexts.append(network.encode(per_view_textures(photos, mask, uv, photos.shape[-1]), 1))
                depths = [depth.float() for depth in network.attend(contexts)]
            del contexts
            # In half precision offsets would be off by half a millimetre.
            painted = aggregate(photos, mask, uv, self.config.resolution)
            splats = network.decode(depths, painted, texels.to(device), surface.to(device))
        return Splats(*(each.float().cpu() for each in vars(splats).values()))


def _precision(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


class _reported:
    """While a network runs inside, every block of it reports, so that the user sees it and can stop it.

    Args:
        low, high: fractions of the stage between which it runs.
    """

    def __init__(self, network: nn.Module, progress: Progress, low: float, high: float):
        self.blocks: list[nn.Module] = [
            each for each in network.modules() if isinstance(each, (Layer, Block, JointBlock))
        ]
        self.progress, self.low, self.high, self.done = progress, low, high, 0.0
        weights = [sum(p.numel() for p in block.parameters()) for block in self.blocks]
        self.shares = {block: weight / max(sum(weights), 1) for block, weight in zip(self.blocks, weights, strict=True)}

    def __enter__(self) -> None:
        self.handles = [block.register_forward_hook(self._report) for block in self.blocks]

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _report(self, block: nn.Module, *_: object) -> None:
        self.done = min(1.0, self.done + self.shares[block])
        self.progress.update(self.low + (self.high - self.low) * self.done)
