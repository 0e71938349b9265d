"""Arrays in zip archives of strangers: what each of them may take is settled before any of it is unpacked."""

from __future__ import annotations

import copy
import math
import zipfile
from collections.abc import Callable

import numpy as np

CHUNK = 1 << 20  # bytes unpacked at a time

Accept = Callable[[tuple[int, ...], np.dtype], None]
"""Told an array's shape and type before its memory is taken; raises ValueError, or an error of its own, to refuse."""


def members(archive: zipfile.ZipFile, most: int) -> dict[str, zipfile.ZipInfo]:
    """An archive's entries by name.

    Args:
        most: bytes that all of them may declare together.

    Raises:
        ValueError: one is there twice, packed in a rare way, or they declare more.
    """
    entries = archive.infolist()
    found = {entry.filename: entry for entry in entries}
    if len(found) != len(entries):
        raise ValueError("it holds an entry twice")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise ValueError("it is packed in an unknown way")
    if sum(entry.file_size for entry in entries) > most:
        raise ValueError(f"it unpacks to more than the {most // 10**6} MB that a file of its size may need")
    return found


def read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, accept: Accept) -> np.ndarray:
    """One array in numpy's format 1.0, row-major and without objects; its checksum is compared.

    Raises:
        ValueError: it is none, or another length than it declares.
        zipfile.BadZipFile, zlib.error, EOFError: it is damaged.
    """
    longer = copy.copy(member)
    longer.file_size += 1  # so that an entry that goes on beyond what it declares is noticed, and no more is unpacked
    with archive.open(longer) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("it is not in numpy's format 1.0")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if is_fortran or dtype.hasobject:
            raise ValueError("objects and column-major arrays are not allowed")
        accept(shape, dtype)
        if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError("it is not as long as its header says")
        array = np.empty(shape, dtype)
        space, filled = array.reshape(-1).view(np.uint8), 0
        while filled < len(space):
            part = file.read(min(CHUNK, len(space) - filled))
            if not part:
                raise EOFError("it is cut short")
            space[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
            filled += len(part)
        if file.read(1):
            raise ValueError("it is longer than it declares")
    return array
