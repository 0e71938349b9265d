"""Reads large photos twice: a small copy to find the face, and where that is small, the full one around it."""

from __future__ import annotations

from pathlib import Path

from engine.photos.decode import Decoded, Square, decode
from engine.photos.landmarks import locate
from engine.photos.photo import CROP
from engine.photos.window import CROP_SIDE

NEAR = CROP / CROP_SIDE  # px of face height that a crop is filled with; below, the full photo shows more
REACH = 7.0  # side of what is read around a face, in face heights: all that preparation looks at, and some more


def decode_near(path: Path) -> Decoded:
    """The photo, or what lies around its largest face where the photo is too large to be read whole at its best.

    Raises:
        PhotoError: as :func:`engine.photos.decode.decode`.
    """
    decoded = decode(path)
    if decoded.shrunk >= 1.0:
        return decoded
    face = locate(decoded.image)
    if face is None or face.height >= NEAR:
        return decoded
    height, width = decoded.image.shape[:2]
    side = REACH * face.height / max(height, width)
    return decode(path, Square(face.center[0] / width, face.center[1] / height, side))
