"""What the photo stage hands on: one prepared head crop per usable photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

CROP = 512  # px, side of the crop that is scored and refined; the papers' working size (arXiv 2601.07603, inputs)
MARGIN = 128  # px kept around the crop on every side, so that hair and shoulders are seen whole
WINDOW = CROP + 2 * MARGIN
INNER = slice(MARGIN, MARGIN + CROP)  # rows or columns of the crop in the window


@dataclass(frozen=True)
class Photo:
    """One photo, scaled and cut to a square window around the head. Pixel centres lie at +0.5, x right, y down.

    The inner ``CROP`` × ``CROP`` pixels (from ``MARGIN`` to ``MARGIN + CROP``) are the head crop; the window around
    it carries what hangs over. Where the window leaves the original photo, ``valid`` is False and the
    colours are white.

    Attributes:
        name: file name, or ``clip.mp4#123`` for frame 123 of a clip.
        sha256: of the file's bytes (of the clip's bytes for a frame).
        image: [WINDOW, WINDOW, 3] float32, display-referred sRGB 0..1, not matted.
        alpha: [WINDOW, WINDOW] float32 matte 0..1; 0 where not ``valid``.
        foreground: [WINDOW, WINDOW, 3] float32 colours with the background's bleed removed (RVM's foreground).
        valid: [WINDOW, WINDOW] bool, inside the original photo.
        landmarks: [478, 3] float32, MediaPipe, window pixels (z in pixels too, smaller is nearer).
        scores: [52] float32 in 0..1, ARKit order (:data:`engine.arkit.ARKIT_NAMES`).
        center: [2] float32, the original photo's centre in window pixels: the principal point.
        size: [2] float32, the original photo's width and height in window pixels.
        focal: focal length in window pixels from EXIF, or None where the file does not say.
        embedding: [128] float32 unit-length SFace identity, from the largest face.
        sharpness: variance of the Laplacian of the face at a common scale, over that of its greys; low is blurred.
        density: pixels of the original photo per window pixel; below 1 the window was enlarged and is soft.
        warnings: sentences for the report ("2 faces found, the largest is used").
    """

    name: str
    sha256: str
    image: np.ndarray
    alpha: np.ndarray
    foreground: np.ndarray
    valid: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
    center: np.ndarray
    size: np.ndarray
    focal: float | None
    embedding: np.ndarray
    sharpness: float
    density: float = 1.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetAside:
    """A photo that is not used, and the sentence that says why and what to do."""

    name: str
    reason: str


@dataclass(frozen=True)
class PhotoSet:
    """The usable photos, in the order given, and those set aside. Nothing is dropped without an entry here."""

    photos: tuple[Photo, ...]
    set_aside: tuple[SetAside, ...] = ()


def matted(photo: Photo) -> torch.Tensor:
    """[WINDOW, WINDOW, 3] the photo over white."""
    alpha = torch.from_numpy(photo.alpha)[..., None]
    return torch.from_numpy(photo.image) * alpha + 1 - alpha
