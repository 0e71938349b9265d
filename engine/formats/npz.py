"""Reads .npz archives of strangers: sizes, types and shapes are settled from headers before anything is allocated."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from engine.archives import members, read_array
from engine.errors import AvatarError
from engine.formats.foreign import complain

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


@dataclass(frozen=True)
class Budget:
    """How many bytes an archive may unpack to: ``times`` its own, but from ``least`` to ``most``."""

    least: int
    times: int
    most: int

    def bytes(self, size: int) -> int:
        return min(self.most, max(self.least, self.times * size))


@dataclass(frozen=True)
class Layout:
    """What a kind of archive holds.

    Attributes:
        version: the one that is read and written; the archive has it as an array of its own.
        fields: every array that must be there, or may be where it is optional; no other may be.
        limits: the largest allowed size per letter of the shapes.
        unpacked: what all arrays together may take.
    """

    version: int
    fields: Mapping[str, Field]
    limits: Mapping[str, int]
    unpacked: Budget


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays compressed and without time stamps, so that equal contents give equal files."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def fit(arrays: Mapping[str, np.ndarray], layout: Layout, source: str) -> dict[str, np.ndarray]:
    """Arrays in the layout's order and types, ready to write; optional ones where ``arrays`` has them.

    Raises:
        AvatarError: a shape that :func:`read_npz` would refuse.
    """
    sizes: dict[str, int] = {}
    present = {name: field for name, field in layout.fields.items() if name in arrays or not field.optional}
    for name, field in present.items():
        _match(name, arrays[name].shape, field, layout.limits, sizes, source)
    return {name: np.asarray(arrays[name], dtype=field.dtype, order="C") for name, field in present.items()}


def read_npz(path: str | os.PathLike[str], layout: Layout) -> dict[str, np.ndarray]:
    """Read exactly the layout's fields from an archive, and nothing that does not fit them.

    Raises:
        AvatarError: the file cannot be read, is damaged or of another version; the message names file and field.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            found = members(archive, layout.unpacked.bytes(path.stat().st_size))
            if "version.npy" not in found and (said := complain(path)):
                raise AvatarError(*said)
            return _read(archive, found, path.name, layout)
    except AvatarError:
        raise
    except OSError as error:
        raise AvatarError(
            f"{path.name} cannot be read ({error.strerror or error}).", f"Check that {path.absolute()} is there."
        ) from error
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on damaged bytes
        if said := complain(path):
            raise AvatarError(*said) from error
        raise AvatarError(f"{path.name} is no avatar file, truncated or damaged ({error}).", DAMAGED) from error


def _read(
    archive: zipfile.ZipFile, found: Mapping[str, zipfile.ZipInfo], source: str, layout: Layout
) -> dict[str, np.ndarray]:
    if "version.npy" not in found:
        raise AvatarError(f"{source} is no avatar file: the field 'version' is missing.", DAMAGED)
    version = int(_read_field(archive, found["version.npy"], source, "version", Field("<i4", ()), layout, {}))
    if version != layout.version:
        raise AvatarError(
            f"{source} is an avatar file of version {version}; this engine reads version {layout.version}.",
            "Update Gaussian Heads, or reconstruct the head with this version.",
        )
    present = {name: field for name, field in layout.fields.items() if f"{name}.npy" in found or not field.optional}
    expected = {f"{name}.npy" for name in present}
    for name in sorted(found.keys() ^ expected):
        state = "is missing" if name in expected else "is unknown"
        raise AvatarError(f"{source}: the field {name.removesuffix('.npy')!r} {state}.", DAMAGED)
    sizes: dict[str, int] = {}
    return {
        name: _read_field(archive, found[f"{name}.npy"], source, name, field, layout, sizes)
        for name, field in present.items()
    }


def _read_field(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    source: str,
    name: str,
    field: Field,
    layout: Layout,
    sizes: dict[str, int],
) -> np.ndarray:
    try:
        return read_array(archive, member, partial(_accept, name, field, layout.limits, sizes, source))
    except AvatarError:
        raise
    except ValueError as error:
        raise AvatarError(f"{source}: the field {name!r} cannot be read ({error}).", DAMAGED) from error


def _accept(
    name: str,
    field: Field,
    limits: Mapping[str, int],
    sizes: dict[str, int],
    source: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
) -> None:
    if dtype != np.dtype(field.dtype):
        raise _refusal(source, name, f"is of type {dtype}, not {np.dtype(field.dtype)}")
    _match(name, shape, field, limits, sizes, source)


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
