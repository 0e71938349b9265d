"""Turns one image into a Photo: find the face, cut the window, separate the person, measure."""

from __future__ import annotations

import cv2
import numpy as np

from engine.landmarker import Face
from engine.photos.decode import Place
from engine.photos.identity import embed
from engine.photos.landmarks import around, find_face
from engine.photos.matting import matte
from engine.photos.photo import Photo
from engine.photos.window import Window

MATTE_REACH = 1.5  # window sides; RVM errs less when it sees the shoulders too
MATTE_SIDE = 1024  # px, longer side of what RVM sees
SHARPNESS_SIDE = 128  # px, the face's height when its sharpness is measured


def prepare(
    image: np.ndarray, name: str, sha256: str, exif_focal: float | None = None, place: Place | None = None
) -> Photo:
    """Prepare one decoded image.

    Args:
        image: [H, W, 3] uint8 sRGB, upright.
        name: what messages and reports call it.
        sha256: of the file that it comes from.
        exif_focal: focal length in pixels of ``image``, where known.
        place: of ``image`` in its photo; None where it is the whole.

    Raises:
        PhotoError: no usable face.
    """
    found = find_face(image, name)
    image, face = found.image, found.face
    height, width = image.shape[:2]
    lies = place if place is not None and not found.turned else Place(0.0, 0.0, width, height)
    whole, corner = np.array([lies.width, lies.height]), np.array([lies.left, lies.top])
    window = Window.around(face)
    valid = window.inside(width, height)

    pixels = window.resample(image).astype(np.float32) / 255
    foreground, alpha = _matte_window(image, face, window)
    pixels[~valid], foreground[~valid], alpha[~valid] = 1.0, 1.0, 0.0
    placed = face.landmarks * window.scale + np.append(window.shift, 0.0)
    return Photo(
        name=name,
        sha256=sha256,
        image=pixels,
        alpha=alpha.clip(0, 1),
        foreground=foreground.clip(0, 1),
        valid=valid,
        landmarks=placed.astype(np.float32),
        scores=face.scores.astype(np.float32),
        center=(window.scale * (whole / 2 - corner) + window.shift).astype(np.float32),
        size=(window.scale * whole).astype(np.float32),
        focal=None if exif_focal is None else exif_focal * window.scale,
        embedding=embed(image, face.landmarks),
        sharpness=sharpness(image, face),
        density=1 / window.scale,
        warnings=found.warnings,
    )


def sharpness(image: np.ndarray, face: Face) -> float:
    """Variance of the Laplacian of the face at ``SHARPNESS_SIDE`` px, over its grey values' variance.

    The division makes dark and flat photos comparable with bright ones.

    Args:
        image: [H, W, 3] uint8 sRGB.
        face: in its pixels.
    """
    grey = cv2.cvtColor(around(image, face, SHARPNESS_SIDE), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var() / max(grey.var(), 1.0))


def _matte_window(image: np.ndarray, face: Face, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Foreground and alpha in the window, from the photo's own pixels at no finer than the window's scale."""
    around, seen = window.cut(image, MATTE_REACH)
    scale = min(1.0, window.scale, MATTE_SIDE / max(around.shape[:2]))
    if scale < 1:
        size = (round(around.shape[1] * scale), round(around.shape[0] * scale))
        scale = size[0] / around.shape[1]
        around = cv2.resize(around, size, interpolation=cv2.INTER_AREA)
        seen = seen.shrunk(scale)
    on_face = (face.center * window.scale + window.shift - seen.shift) / seen.scale
    foreground, alpha = matte(around, on_face)
    return seen.resample(foreground), seen.resample(alpha)
