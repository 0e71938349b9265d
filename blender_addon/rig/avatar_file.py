"""Reads and writes avatar files (docs/avatar-format.md) with numpy alone. A file is data: nothing in it is executed."""

from __future__ import annotations

import io
import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AddonError
from ..files import unreadable

VERSION = 1
MAX_BYTES = 1_000_000_000  # all arrays together, unpacked
# Letters are sizes shared between fields.
FIELDS: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "version": ("<i4", ()),
    "metadata": ("|u1", ("B",)),
    "vertices": ("<f4", ("V", 3)),
    "faces": ("<i4", ("F", 3)),
    "uv": ("<f4", ("T", 2)),
    "uv_faces": ("<i4", ("F", 3)),
    "regions": ("|u1", ("R", "V")),
    "key_starts": ("<i4", ("E+1",)),
    "key_vertices": ("<i4", ("M",)),
    "key_deltas": ("<f4", ("M", 3)),
    "joint_parents": ("<i4", ("J",)),
    "joint_positions": ("<f4", ("J", 3)),
    "skin_weights": ("<f4", ("V", "J+1")),
    "triangles": ("<i4", ("N",)),
    "barycentrics": ("<f4", ("N", 3)),
    "offsets": ("<f4", ("N", 3)),
    "quats": ("<f4", ("N", 4)),
    "scales": ("<f4", ("N", 3)),
    "opacities": ("<f4", ("N",)),
    "colors": ("<f4", ("N", 3)),
    "parts": ("|u1", ("N",)),
    "eigenbasis": ("<f2", ("K", "N", 14)),
    "eigenbasis_gains": ("<f4", ("G", "K")),
    "view_viewmats": ("<f8", ("P", 4, 4)),
    "view_Ks": ("<f8", ("P", 3, 3)),
    "view_sizes": ("<i4", ("P", 2)),
    "view_expressions": ("<f8", ("P", "E")),
    "view_joint_rotations": ("<f8", ("P", "J", 3)),
}
OPTIONAL = {"eigenbasis", "eigenbasis_gains"}  # both or neither
LIMITS = {
    "B": 1 << 22, "V": 200_000, "F": 400_000, "T": 400_000, "R": 64, "E": 1024, "M": 40_000_000, "J": 64,
    "N": 4_000_000, "P": 1024, "K": 32, "G": 1024 + 3 * 64,
}  # fmt: skip
# Fields of whole numbers and the sizes that they index; -1 is a root among joint_parents.
INDICES = {"faces": "V", "uv_faces": "T", "key_vertices": "V", "triangles": "F"}
RANGES = {
    "vertices": (-100, 100), "key_deltas": (-100, 100), "joint_positions": (-100, 100), "offsets": (-100, 100),
    "skin_weights": (0, 1), "barycentrics": (-1, 2), "quats": (-1.001, 1.001), "opacities": (0, 1),
    "colors": (-0.5, 1.5), "uv": (0, 1), "eigenbasis": (-2, 2), "eigenbasis_gains": (-1e4, 1e4),
}  # fmt: skip
LISTS = {"key_names": "E", "joint_names": "J", "region_names": "R", "view_names": "P"}
JOINTS = {"neck", "head", "jaw", "eyeLeft", "eyeRight"}
DAMAGED = "Copy the file again from where it was made, or reconstruct the head again."


@dataclass(frozen=True)
class AvatarFile:
    """An avatar's content as the file holds it: engine axes (y up, z toward the viewer), metres, quaternions wxyz.

    Attributes:
        arrays: every field of docs/avatar-format.md but ``metadata``, with its dtype and shape; those of the eigenbasis
            only where there is one.
        metadata: name, key_names, joint_names, region_names, view_names, provenance.
    """

    arrays: dict[str, np.ndarray]
    metadata: dict[str, Any]

    @property
    def name(self) -> str:
        return self.metadata["name"]

    def __getattr__(self, field: str) -> np.ndarray:
        try:
            return self.arrays[field]
        except KeyError:
            raise AttributeError(field) from None


def read_avatar(source: str | Path | bytes, name: str = "") -> AvatarFile:
    """Read an avatar file and check everything that Blender relies on.

    Args:
        source: a path, or the file's bytes.
        name: what to call bytes in messages.

    Raises:
        AddonError: missing, truncated, damaged, hostile or of another version; names file and field.
    """
    label = name or ("The avatar" if isinstance(source, bytes) else Path(source).name)
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            arrays = _read_arrays(archive, label)
    except AddonError:
        raise
    except OSError as error:
        raise unreadable(Path(label if isinstance(source, bytes) else source), error, "Check the path.") from error
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on damaged bytes
        raise AddonError(f"{label} is no avatar file, truncated or damaged ({error}).", DAMAGED) from error
    metadata = _read_metadata(arrays.pop("metadata").tobytes(), label)
    _check(arrays, metadata, label)
    return AvatarFile(arrays, metadata)


def write_avatar(avatar: AvatarFile) -> bytes:
    """The file's bytes, uncompressed: what the engine gets for preview and export shall be quick, not small."""
    text = json.dumps(avatar.metadata, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    arrays = avatar.arrays | {"metadata": np.frombuffer(text, np.uint8)}
    buffer = io.BytesIO()
    present = {name: dtype for name, (dtype, _) in FIELDS.items() if name in arrays or name not in OPTIONAL}
    np.savez(buffer, **{name: np.asarray(arrays[name], dtype, order="C") for name, dtype in present.items()})
    return buffer.getvalue()


def _read_arrays(archive: zipfile.ZipFile, label: str) -> dict[str, np.ndarray]:
    members = {member.filename: member for member in archive.infolist()}
    if "version.npy" not in members:
        raise AddonError(f"{label} is no avatar file: the field 'version' is missing.", DAMAGED)
    if sum(member.file_size for member in members.values()) > MAX_BYTES:
        raise AddonError(f"{label} unpacks to more than {MAX_BYTES // 10**6} MB.", "Use fewer Gaussians.")
    sizes: dict[str, int] = {}
    version = int(_read_array(archive, members["version.npy"], "version", sizes, label))
    if version != VERSION:
        raise AddonError(
            f"{label} is an avatar file of version {version}; this add-on reads version {VERSION}.",
            "Update Gaussian Heads, or reconstruct the head with this version.",
        )
    absent = {field for field in OPTIONAL if f"{field}.npy" not in members}
    fields = FIELDS.keys() - (absent if absent == OPTIONAL else set())
    for name in sorted(members.keys() ^ {f"{field}.npy" for field in fields}):
        state = "is unknown" if name in members else "is missing"
        raise AddonError(f"{label}: the field {name.removesuffix('.npy')!r} {state}.", DAMAGED)
    return {
        field: _read_array(archive, members[f"{field}.npy"], field, sizes, label) for field in FIELDS if field in fields
    }


def _read_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, field: str, sizes: dict[str, int], label: str
) -> np.ndarray:
    """One array; its size is settled from the header before anything of that size is allocated."""
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{field} is not of numpy's format 1.0")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        wanted, letters = FIELDS[field]
        fits = dtype == np.dtype(wanted) and not is_fortran and len(shape) == len(letters)
        for size, letter in zip(shape, letters, strict=False):
            if isinstance(letter, str):
                letter, _, more = letter.partition("+")
                letter = sizes.setdefault(letter, size - int(more or 0)) + int(more or 0)
            fits = fits and size == letter
        fits = fits and all(0 <= size <= LIMITS[letter] for letter, size in sizes.items())
        if not fits or file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise AddonError(f"{label}: the field {field!r} is {dtype} {list(shape)}, which cannot be.", DAMAGED)
        return np.frombuffer(bytearray(file.read()), dtype).reshape(shape)  # to the end: checksums are compared there


def _read_metadata(data: bytes, label: str) -> dict[str, Any]:
    try:
        metadata = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise AddonError(f"{label}: the field 'metadata' is no UTF-8 JSON ({error}).", DAMAGED) from error
    if not isinstance(metadata, dict) or metadata.keys() != {"name", "provenance", *LISTS}:
        raise AddonError(f"{label}: the field 'metadata' does not hold what it should.", DAMAGED)
    return metadata


def _check(arrays: dict[str, np.ndarray], metadata: dict[str, Any], label: str) -> None:
    sizes = {
        letter: size - (letters[axis] != letter)
        for field, (_, letters) in FIELDS.items()
        if field in arrays
        for axis, size in enumerate(arrays[field].shape)
        if isinstance(letters[axis], str)
        for letter in [letters[axis].partition("+")[0]]
    }

    def require(holds: bool, field: str, what: str) -> None:
        if not holds:
            raise AddonError(f"{label}: the field {field!r} {what}.", DAMAGED)

    for field, letter in LISTS.items():
        names = metadata[field]
        require(isinstance(names, list) and len(names) == sizes[letter], field, f"is no list of {sizes[letter]} names")
        require(all(isinstance(name, str) and name for name in names), field, "has an entry that is no name")
        if field != "view_names":
            short = all(len(name.encode("utf-8", "replace")) <= 63 for name in names)
            require(short and len(set(names)) == len(names), field, "has a name twice or one that is too long")
    require(isinstance(metadata["name"], str) and 0 < len(metadata["name"].encode()) <= 63, "name", "is no name")
    require(isinstance(metadata["provenance"], dict), "provenance", "is no table")
    require(JOINTS <= set(metadata["joint_names"]), "joint_names", f"lacks one of {', '.join(sorted(JOINTS))}")
    require(min(sizes["V"], sizes["F"], sizes["T"]) > 0, "faces", "is empty")
    require(sizes["E"] * sizes["V"] <= LIMITS["M"], "key_starts", "has too many keys")
    for field, array in arrays.items():
        if array.dtype.kind == "f":
            low, high = RANGES.get(field, (-1e6, 1e6))
            fine = bool(np.isfinite(array).all()) and (not array.size or low <= array.min() <= array.max() <= high)
            require(fine, field, f"has values that are not within {low} to {high}")
    for field, letter in INDICES.items():
        array = arrays[field]
        require(not array.size or (array.min() >= 0 and array.max() < sizes[letter]), field, "points outside the head")
    require(bool((arrays["scales"] > 0).all() and (arrays["scales"] <= 10).all()), "scales", "has impossible sizes")
    starts = arrays["key_starts"]
    ordered = starts[0] == 0 and starts[-1] == sizes["M"] and bool((np.diff(starts) >= 0).all())
    require(ordered, "key_starts", "does not divide the keys")
    if "eigenbasis" in arrays:
        require(sizes["K"] > 0, "eigenbasis", "is empty")
        features = sizes["E"] + 3 * sizes["J"]
        require(sizes["G"] == features, "eigenbasis_gains", f"has {sizes['G']} rows instead of {features}")
    parents = arrays["joint_parents"]
    require(bool(((parents >= -1) & (parents < np.arange(len(parents)))).all()), "joint_parents", "is no tree")
