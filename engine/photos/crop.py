"""The inner crop of a photo's window as tensors: what renders are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.photos.photo import INNER, MARGIN, Photo


@dataclass(frozen=True)
class Target:
    """One photo's crop: image [H, W, 3] premultiplied by the matte, alpha [H, W, 1], valid [H, W, 1]."""

    image: torch.Tensor
    alpha: torch.Tensor
    valid: torch.Tensor


def crop_target(photo: Photo) -> Target:
    """The inner crop of a photo as tensors."""
    alpha = torch.from_numpy(photo.alpha[INNER, INNER])[..., None]
    valid = torch.from_numpy(photo.valid[INNER, INNER])[..., None].float()
    return Target(torch.from_numpy(photo.image[INNER, INNER]) * alpha * valid, alpha * valid, valid)


def crop_matrix(K: torch.Tensor) -> torch.Tensor:
    """[3, 3] intrinsics of the inner crop from those of the window."""
    shift = torch.zeros(3, 3)
    shift[0, 2] = shift[1, 2] = MARGIN
    return K - shift
