"""Reads .npz archives of strangers: sizes, types and shapes are settled from headers before anything is allocated."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from engine.errors import AvatarError

MAX_BYTES = 1_000_000_000  # all arrays together, unpacked
DAMAGED = "Copy the file again from where it was made, or reconstruct the head again."


@dataclass(frozen=True)
class Field:
    """One array of an archive.

    Attributes:
        dtype: numpy's little-endian code, for instance ``<f4``.
        shape: a number is that size; a letter is a size shared by all fields; ``"J+1"`` is one more than J.
        optional: whether an archive may lack it.
    """

    dtype: str
    shape: tuple[int | str, ...]
    optional: bool = False


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays compressed and without time stamps, so that equal contents give equal files."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def fit(
    arrays: Mapping[str, np.ndarray], fields: Mapping[str, Field], limits: Mapping[str, int], source: str
) -> dict[str, np.ndarray]:
    """Arrays in the order and types of ``fields``, ready to write; optional ones where ``arrays`` has them.

    Raises:
        AvatarError: a shape that :func:`read_npz` would refuse.
    """
    sizes: dict[str, int] = {}
    present = {name: field for name, field in fields.items() if name in arrays or not field.optional}
    for name, field in present.items():
        _match(name, arrays[name].shape, field, limits, sizes, source)
    return {name: np.asarray(arrays[name], dtype=field.dtype, order="C") for name, field in present.items()}


def read_npz(
    path: str | os.PathLike[str], fields: Mapping[str, Field], limits: Mapping[str, int], version: int
) -> dict[str, np.ndarray]:
    """Read exactly ``fields`` from an archive, and nothing that does not fit them.

    Args:
        path: the archive. It holds the array ``version``, one number.
        fields: every array that must be there, or may be where it is optional; no other may be.
        limits: the largest allowed size per letter of the shapes.
        version: the one that the caller understands.

    Raises:
        AvatarError: the file cannot be read, is damaged or of another version; the message names file and field.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return _read(archive, path.name, fields, limits, version)
    except AvatarError:
        raise
    except OSError as error:
        raise AvatarError(
            f"{path.name} cannot be read ({error.strerror or error}).", f"Check that {path.absolute()} is there."
        ) from error
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on damaged bytes
        raise AvatarError(f"{path.name} is no avatar file, truncated or damaged ({error}).", DAMAGED) from error


def _read(
    archive: zipfile.ZipFile, source: str, fields: Mapping[str, Field], limits: Mapping[str, int], version: int
) -> dict[str, np.ndarray]:
    members = {member.filename: member for member in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise AvatarError(f"{source} holds a field twice.", DAMAGED)
    if sum(member.file_size for member in members.values()) > MAX_BYTES:
        raise AvatarError(f"{source} unpacks to more than {MAX_BYTES // 10**6} MB.", "Use fewer Gaussians.")

    if "version.npy" not in members:
        raise AvatarError(f"{source} is no avatar file: the field 'version' is missing.", DAMAGED)
    found = int(_read_array(archive, members["version.npy"], source, Field("<i4", ()), limits, {}))
    if found != version:
        raise AvatarError(
            f"{source} is an avatar file of version {found}; this engine reads version {version}.",
            "Update Gaussian Heads, or reconstruct the head with this version.",
        )
    present = {name: field for name, field in fields.items() if f"{name}.npy" in members or not field.optional}
    expected = {f"{name}.npy" for name in present}
    for name in sorted(members.keys() ^ expected):
        state = "is missing" if name in expected else "is unknown"
        raise AvatarError(f"{source}: the field {name.removesuffix('.npy')!r} {state}.", DAMAGED)
    sizes: dict[str, int] = {}
    return {
        name: _read_array(archive, members[f"{name}.npy"], source, field, limits, sizes)
        for name, field in present.items()
    }


def _read_array(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    source: str,
    field: Field,
    limits: Mapping[str, int],
    sizes: dict[str, int],
) -> np.ndarray:
    name = member.filename.removesuffix(".npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refusal(source, name, "is packed in an unknown way")
    with archive.open(member) as file:
        try:
            shape, dtype = _header(file)
        except ValueError as error:
            raise _refusal(source, name, f"has an unreadable header ({error})") from error
        if dtype != np.dtype(field.dtype):
            raise _refusal(source, name, f"is of type {dtype}, not {np.dtype(field.dtype)}")
        _match(name, shape, field, limits, sizes, source)
        count = math.prod(shape)
        if file.tell() + count * dtype.itemsize != member.file_size:
            raise _refusal(source, name, "is not as long as its header says")
        content = file.read()  # to the end: zipfile compares the checksum there
    return np.frombuffer(bytearray(content), dtype).reshape(shape)  # a bytearray can be written to


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not numpy's format 1.0")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if is_fortran or dtype.hasobject:
        raise ValueError("objects and column-major arrays are not allowed")
    return shape, dtype


def _match(
    name: str, shape: tuple[int, ...], field: Field, limits: Mapping[str, int], sizes: dict[str, int], source: str
) -> None:
    """Compare a shape with the field's letters; a letter's first use settles its size."""
    wanted = []
    for size, found in zip(field.shape, shape, strict=False):
        if isinstance(size, str):
            letter, _, more = size.partition("+")
            size = sizes.setdefault(letter, found - int(more or 0)) + int(more or 0)
            if not 0 <= sizes[letter] <= limits[letter]:
                raise _refusal(source, name, f"has {found} entries; {letter} may be 0 to {limits[letter]}")
        wanted.append(size)
    if len(shape) != len(field.shape) or list(shape) != wanted:
        raise _refusal(source, name, f"has the shape {list(shape)} instead of {list(field.shape)} = {wanted}")


def _refusal(source: str, field: str, what: str) -> AvatarError:
    return AvatarError(f"{source}: the field {field!r} {what}.", DAMAGED)
