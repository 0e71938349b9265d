"""The inner crop of a photo's window as tensors: what renders are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
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


def face_of(target: Target, photo: Photo) -> Target:
    """The same, valid on the face alone: hair and clothes of another day are no goal."""
    points = cv2.convexHull((photo.landmarks[:468, :2] - MARGIN).astype(np.int32))
    face = cv2.fillConvexPoly(np.zeros(target.valid.shape[:2], np.float32), points, 1.0)
    valid = target.valid * torch.from_numpy(face)[..., None]
    return Target(target.image * valid, target.alpha * valid, valid)
