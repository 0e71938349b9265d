"""The photos of the list as files for the engine: files as they are, Blender images written to temporary ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..engine_client.png import encode_png, srgb_pixels
from ..errors import AddonError
from ..files import atomic_write
from ..paths import ending_of, resolve

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".tif", ".tiff", ".bmp")
CLIP_ENDINGS = (".mp4", ".mov", ".webm")
ENDINGS = PHOTO_ENDINGS + CLIP_ENDINGS
_PACKED_ENDINGS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}


@dataclass(frozen=True)
class PhotoFile:
    """One photo or clip on disk; ``prepare`` writes it where it does not exist yet, and may run in any thread."""

    path: Path
    prepare: Callable[[], None] = lambda: None


def photo_file(item: bpy.types.PropertyGroup) -> PhotoFile:
    """The file of an entry of the list.

    Raises:
        AddonError: its Blender image has no pixels.
    """
    if item.image is None:
        return PhotoFile(Path(os.path.realpath(resolve(item.path))))
    return _image_file(item.image)


def photo_key(item: bpy.types.PropertyGroup) -> str:
    """What tells the photo of one entry from others, without touching its pixels."""
    return item.path if item.image is None else f"image {item.image.session_uid}"


def _image_file(image: bpy.types.Image) -> PhotoFile:
    """A Blender image's file. What Blender alone has is copied here, and compressed and written by ``prepare``."""
    if not image.is_dirty and image.packed_file is None and image.source in ("FILE", "MOVIE"):
        path = resolve(image.filepath, image.library)
        if path.suffix.lower() in ENDINGS:
            return PhotoFile(path)
    ending = ending_of(image.name)
    stem = bpy.path.clean_name(image.name[: -len(ending)] if ending in ENDINGS else image.name)
    folder = Path(bpy.app.tempdir) / "gaussian_heads" / str(image.session_uid)
    if not image.is_dirty and image.packed_file is not None and image.file_format in _PACKED_ENDINGS:
        data = image.packed_file.data
        path = folder / (stem + _PACKED_ENDINGS[image.file_format])
        return PhotoFile(path, lambda: _write(path, data))
    width, height = image.size
    if not width or not height:
        raise AddonError(f"The image {image.name} has no pixels.", "Reload it, or remove it from the list.")
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    pixels = _four_channels(values, image.channels)
    is_linear = image.is_float
    path = folder / f"{stem}.png"
    return PhotoFile(path, lambda: _write(path, encode_png(srgb_pixels(pixels, width, height, is_linear))))


def _four_channels(values: np.ndarray, channels: int) -> np.ndarray:
    """Pixels as RGBA, also where they are grey (1, 2 channels) or without alpha (3)."""
    if channels == 4:
        return values
    pixels = values.reshape(-1, channels)
    color = pixels[:, :3] if channels == 3 else np.repeat(pixels[:, :1], 3, axis=1)
    return np.column_stack((color, np.ones(len(pixels), np.float32))).reshape(-1)


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
