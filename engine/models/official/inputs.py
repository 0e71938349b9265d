"""Photos as UIKA's public code prepares them: cut around the head, over white (arXiv 2601.07603, inputs)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.photos.crop import FACE_LANDMARKS
from engine.photos.photo import Photo, matted
from engine.photos.resampling import warp

LARGER = 1.5  # times the head's box
CROWN, SIDES = 0.6, 0.35  # of the face's height and width, by which a head reaches beyond the face at most
FAINTEST = 1 / 255  # a matte below this is none: a pixel counts fully as soon as its matte is above 0
SURE = 0.5  # of the matte


@dataclass(frozen=True)
class Crop:
    """A photo for the network.

    Attributes:
        image: [3, S, S] RGB 0..1 over white. mask: [1, S, S] 0..1.
        place: [3, 3] window pixels to the crop's, centres at +0.5 in both.
    """

    image: torch.Tensor
    mask: torch.Tensor
    place: np.ndarray


def head_box(photo: Photo) -> tuple[np.ndarray, np.ndarray]:
    """Upper left and lower right corner [2] of the head with its hair, without the neck, in window pixels.

    The face's landmarks, widened to the matte (ours; the public code has a detector of its own, and was trained with
    boxes up to a fifth larger and smaller).
    """
    face = photo.landmarks[:FACE_LANDMARKS, :2].astype(np.float64)
    low, high = face.min(axis=0), face.max(axis=0)
    width, height = high - low
    solid = photo.alpha > SURE
    rows, columns = np.indices(solid.shape)
    across = (columns >= low[0] - SIDES * width) & (columns < high[0] + SIDES * width)
    head = solid & across & (rows >= low[1] - CROWN * height) & (rows < high[1])
    above = head & (columns >= low[0]) & (columns < high[0])
    beside = head & (rows >= low[1]) & (rows < (low[1] + high[1]) / 2)  # below the ears hair and shoulders are wider
    top = min(np.flatnonzero(above.any(axis=1)).min(initial=solid.shape[0]), low[1])
    sides = np.flatnonzero(beside.any(axis=0))
    left, right = min(sides.min(initial=solid.shape[1]), low[0]), max(sides.max(initial=0) + 1, high[0])
    return np.array([left, top]), np.array([right, high[1]])


def crop(photo: Photo, size: int) -> Crop:
    """The square of ``size`` pixels around a photo's head."""
    low, high = head_box(photo)
    scale = size / (LARGER * float((high - low).max()))
    matrix = np.column_stack((scale * np.eye(2), size / 2 - scale * (low + high) / 2))
    # outside of the window there is nothing, which warp would fill with the window's rim
    inside = np.zeros(photo.alpha.shape, np.float32)
    inside[1:-1, 1:-1] = photo.valid[1:-1, 1:-1]
    alpha = warp(np.ascontiguousarray(photo.alpha * inside), matrix, size).clip(0, 1)
    mask = torch.from_numpy(np.where(alpha < FAINTEST, 0, alpha)).float()[None]
    image = torch.from_numpy(warp(matted(photo).numpy(), matrix, size).clip(0, 1)).float().permute(2, 0, 1)
    return Crop(torch.where(mask > 0, image, 1.0), mask, np.vstack((matrix, [0, 0, 1])))
