"""The inner crop of a photo's window as tensors: what renders are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from engine.photos.photo import INNER, MARGIN, Photo

FACE_LANDMARKS = 468  # the mesh; the ten iris points after it lie inside its hull


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
    shift = K.new_zeros(3, 3)
    shift[0, 2] = shift[1, 2] = MARGIN
    return K - shift


def face_hull(landmarks: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width] bool: the convex hull of a face's ``landmarks`` [L, 2], pixels; the irises lie inside it."""
    points = np.floor(landmarks[:FACE_LANDMARKS]).astype(np.int32)
    return cv2.fillConvexPoly(np.zeros((height, width), np.uint8), cv2.convexHull(points), 1).astype(bool)


def face_of(target: Target, photo: Photo) -> Target:
    """The same, valid on the face alone: hair and clothes of another day are no goal."""
    face = face_hull(photo.landmarks[:, :2] - MARGIN, *target.valid.shape[:2])
    valid = target.valid * torch.from_numpy(face)[..., None]
    return Target(target.image * valid, target.alpha * valid, valid)
