"""Reads what the engine bakes of a head: a zip archive of pictures, and of cards for hair as an avatar file."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

from ..errors import AddonError
from .avatar_file import AvatarFile, read_avatar

MOST = 1 << 28  # bytes of one member: a picture of 4096 texels a side has 64 MB before it is packed
PNG = b"\x89PNG\r\n\x1a\n"
AGAIN = "Update Gaussian Heads, and bake the head again."


@dataclass(frozen=True)
class Baked:
    """Pictures as PNG files' bytes, and hair's mesh; both of its fields are None where a head has none.

    Attributes:
        picture: for the head's own mesh. hair: its vertices, faces, UV map, keys and skin weights; no Gaussians.
    """

    picture: bytes
    hair_picture: bytes | None
    hair: AvatarFile | None


def read_baked(data: bytes) -> Baked:
    """Check and take apart the engine's answer.

    Raises:
        AddonError: it is no such archive, or holds more than it may.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            picture = _picture(archive, "head.png")
            if "hair.npz" not in names:
                return Baked(picture, None, None)
            return Baked(picture, _picture(archive, "hair.png"), read_avatar(_member(archive, "hair.npz"), "The hair"))
    except AddonError:
        raise
    except Exception as error:  # zipfile and zlib raise a dozen kinds on damaged bytes
        raise AddonError(f"The engine's pictures of the head are damaged ({error}).", AGAIN) from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    member = archive.getinfo(name)
    if member.file_size > MOST:
        raise AddonError(f"The engine's {name} unpacks to {member.file_size / 1e6:.0f} MB.", AGAIN)
    return archive.read(member)


def _picture(archive: zipfile.ZipFile, name: str) -> bytes:
    content = _member(archive, name)
    if not content.startswith(PNG):
        raise AddonError(f"The engine's {name} is no PNG picture.", AGAIN)
    return content
