"""Writes pixels as PNG, for Blender images that exist nowhere as a file. Runs outside of Blender's main thread."""

import struct
import zlib

import numpy as np


def encode_png(pixels: np.ndarray) -> bytes:
    """A PNG file.

    Args:
        pixels: uint8 [H, W, 4], top row first, straight alpha.
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + width * 4), np.uint8)  # each row begins with its filter, 0 for none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def srgb_pixels(values: np.ndarray, width: int, height: int, is_linear: bool) -> np.ndarray:
    """Pixels as :func:`encode_png` wants them.

    Args:
        values: float32 [H * W * 4] as in ``bpy.types.Image.pixels``: bottom row first.
        is_linear: whether the colours are scene linear; otherwise they are sRGB already.

    Returns:
        uint8 [H, W, 4].
    """
    pixels = np.clip(values.reshape(height, width, 4)[::-1], 0.0, 1.0)
    if is_linear:
        color = pixels[..., :3]
        curve = 1.055 * np.power(color, 1 / 2.4) - 0.055
        pixels = np.concatenate((np.where(color <= 0.0031308, color * 12.92, curve), pixels[..., 3:]), axis=-1)
    return np.rint(pixels * 255).astype(np.uint8)
