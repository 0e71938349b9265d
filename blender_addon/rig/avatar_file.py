"""Reads and writes avatar files (docs/avatar-format.md) with numpy alone. A file is data: nothing in it is executed."""

from __future__ import annotations

import copy
import io
import json
import math
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from .. import plain_json
from ..errors import AddonError
from ..files import unreadable


def _table() -> dict[str, Any]:
    """The file's layout as data, from the engine: beside this package in an installation, one folder up in a clone."""
    root = Path(__file__).parents[1]
    inside = Path("engine", "formats", "avatar.json")
    path = next((path for path in (root / inside, root.parent / inside) if path.exists()), root / inside)
    return json.loads(path.read_text("utf-8"))


TABLE = _table()
RULES: dict[str, dict[str, Any]] = TABLE["fields"]
OPTIONAL = {field for field, rule in RULES.items() if "optional" in rule}  # both or neither
CHUNK = 1 << 20  # bytes unpacked at a time
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
        size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            arrays = _read_arrays(archive, size, label)
    except AddonError:
        raise
    except OSError as error:
        raise unreadable(Path(label if isinstance(source, bytes) else source), error, "Check the path.") from error
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on damaged bytes
        raise AddonError(f"{label} is no avatar file, truncated or damaged ({error}).", DAMAGED) from error
    metadata = _read_metadata(arrays.pop("metadata").tobytes(), label)
    _Check(arrays, metadata, label).all()
    return AvatarFile(arrays, metadata)


def write_avatar(avatar: AvatarFile) -> bytes:
    """The file's bytes, uncompressed: what the engine gets for preview and export shall be quick, not small."""
    text = json.dumps(avatar.metadata, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    arrays = avatar.arrays | {"metadata": np.frombuffer(text, np.uint8)}
    buffer = io.BytesIO()
    present = {name: rule["dtype"] for name, rule in RULES.items() if name in arrays or name not in OPTIONAL}
    fields = {name: np.asarray(arrays[name], dtype, order="C") for name, dtype in present.items()}
    np.savez(buffer, **fields)  # type: ignore[arg-type]
    return buffer.getvalue()


def _read_arrays(archive: zipfile.ZipFile, size: int, label: str) -> dict[str, np.ndarray]:
    members = {member.filename: member for member in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise AddonError(f"{label} holds a field twice.", DAMAGED)
    if "version.npy" not in members:
        raise AddonError(f"{label} is no avatar file: the field 'version' is missing.", DAMAGED)
    budget = TABLE["unpacked"]
    most = min(budget["most"], max(budget["least"], budget["times"] * size))
    if sum(member.file_size for member in members.values()) > most:
        raise AddonError(
            f"{label} unpacks to more than the {most // 10**6} MB that a file of its size may need.", DAMAGED
        )
    sizes: dict[str, int] = {}
    version = int(_read_array(archive, members["version.npy"], "version", sizes, label))
    if version != TABLE["version"]:
        raise AddonError(
            f"{label} is an avatar file of version {version}; this add-on reads version {TABLE['version']}.",
            "Update Gaussian Heads, or reconstruct the head with this version.",
        )
    absent = {field for field in OPTIONAL if f"{field}.npy" not in members}
    fields = RULES.keys() - (absent if absent == OPTIONAL else set())
    for name in sorted(members.keys() ^ {f"{field}.npy" for field in fields}):
        state = "is unknown" if name in members else "is missing"
        raise AddonError(f"{label}: the field {name.removesuffix('.npy')!r} {state}.", DAMAGED)
    return {
        field: _read_array(archive, members[f"{field}.npy"], field, sizes, label) for field in RULES if field in fields
    }


def _read_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, field: str, sizes: dict[str, int], label: str
) -> np.ndarray:
    """One array; its size is settled from the header before anything of that size is allocated."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise AddonError(f"{label}: the field {field!r} is packed in an unknown way.", DAMAGED)
    longer = copy.copy(member)
    longer.file_size += 1  # so that a member that goes on beyond what it declares is noticed, and no more is unpacked
    with archive.open(longer) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{field} is not of numpy's format 1.0")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        letters = RULES[field]["shape"]
        fits = dtype == np.dtype(RULES[field]["dtype"]) and not is_fortran and len(shape) == len(letters)
        for size, letter in zip(shape, letters, strict=False):
            if isinstance(letter, str):
                letter, _, more = letter.partition("+")
                letter = sizes.setdefault(letter, size - int(more or 0)) + int(more or 0)
            fits = fits and size == letter
        fits = fits and all(0 <= size <= TABLE["limits"][letter] for letter, size in sizes.items())
        if not fits or file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise AddonError(f"{label}: the field {field!r} is {dtype} {list(shape)}, which cannot be.", DAMAGED)
        array = np.empty(shape, dtype)
        space, filled = array.reshape(-1).view(np.uint8), 0
        while filled < len(space):
            part = file.read(min(CHUNK, len(space) - filled))
            if not part:
                raise EOFError(f"{field} is cut short")
            space[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
            filled += len(part)
        if file.read(1):  # to the end: checksums are compared there
            raise ValueError(f"{field} is longer than it declares")
    return array


def _read_metadata(data: bytes, label: str) -> dict[str, Any]:
    try:
        metadata = plain_json.parse(data.decode("utf-8"))
        # Escaped lone surrogates are no text, and 1e999 is no number: both pass loads() and fail here.
        json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except ValueError as error:
        raise AddonError(f"{label}: the field 'metadata' is no UTF-8 JSON ({error}).", DAMAGED) from error
    if not isinstance(metadata, dict) or metadata.keys() != {"name", "provenance", *TABLE["lists"]}:
        raise AddonError(f"{label}: the field 'metadata' does not hold what it should.", DAMAGED)
    return metadata


class _Check:
    """What must hold between the fields; the engine refuses the same files (tests/addon/rig/test_same_files.py)."""

    def __init__(self, arrays: dict[str, np.ndarray], metadata: dict[str, Any], label: str):
        self.arrays, self.metadata, self.label = arrays, metadata, label
        self.sizes = {
            letter: size - (shape[axis] != letter)
            for field, array in arrays.items()
            for shape in [RULES[field]["shape"]]
            for axis, size in enumerate(array.shape)
            if isinstance(shape[axis], str)
            for letter in [shape[axis].partition("+")[0]]
        }

    def all(self) -> None:
        self._names()
        self._provenance(self.metadata["provenance"])
        for field, array in self.arrays.items():
            self._field(field, array, RULES[field])
        self._keys()
        self._joints()
        self._cameras()
        if "eigenbasis" in self.arrays:
            rows, features = self.sizes["G"], self.sizes["E"] + 3 * self.sizes["J"]
            self._require(rows == features, "eigenbasis_gains", f"has {rows} rows instead of {features}")

    def _require(self, holds: Any, field: str, what: str) -> None:
        if not holds:
            raise AddonError(f"{self.label}: the field {field!r} {what}.", DAMAGED)

    def _field(self, field: str, array: np.ndarray, rule: dict[str, Any]) -> None:
        self._require("filled" not in rule or len(array), field, "is empty")
        low, high = (0, self.sizes[rule["index"]] - 1) if "index" in rule else rule.get("range", (None, None))
        if low is not None and array.size:  # a NaN fails both comparisons
            fine = low <= float(array.min()) and float(array.max()) <= high
            self._require(fine, field, f"has values that are not within {low:g} to {high:g}")
        if "sum" in rule:
            self._near(array.sum(axis=1, dtype=np.float64), rule["sum"], field, "has rows whose sum is not 1")
        if "length" in rule:
            lengths = np.sqrt(np.einsum("nd,nd->n", array, array, dtype=np.float64))
            self._near(lengths, rule["length"], field, "has rows that are not of length 1")

    def _near(self, values: np.ndarray, wanted: float, field: str, what: str) -> None:
        self._require((np.abs(values - wanted) <= TABLE["tolerance"]).all(), field, what)

    def _names(self) -> None:
        self._require(is_name(self.metadata["name"]), "name", "is no plain name of 1 to 63 bytes without slashes")
        for field, letter in TABLE["lists"].items():
            names, size = self.metadata[field], self.sizes[letter]
            self._require(isinstance(names, list) and len(names) == size, field, f"is no list of {size} names")
            if field == "view_names":
                most = TABLE["photo_name_characters"]
                fine = all(isinstance(name, str) and 0 < len(name) <= most for name in names)
            else:
                fine = all(map(is_name, names)) and len(set(names)) == size
            self._require(fine, field, "has a name twice, or one that is too long or not plain")
        lacking = ", ".join(name for name in TABLE["joints"] if name not in self.metadata["joint_names"])
        self._require(not lacking, "joint_names", f"lacks {lacking}")

    def _provenance(self, provenance: Any) -> None:
        kinds = {"list": list, "dict": dict, "str": str}
        self._require(isinstance(provenance, dict), "provenance", "is no table")
        for key, kind in TABLE["provenance"].items():
            self._require(isinstance(provenance.get(key), kinds[kind]), f"provenance.{key}", "is missing or no " + kind)
        for photo in provenance["photos"]:
            fine = isinstance(photo, dict) and all(isinstance(photo.get(key), str) for key in ("name", "sha256"))
            self._require(fine, "provenance.photos", "has an entry without name or sha256")
        model = provenance["head_model"]
        fine = all(isinstance(model.get(key), str) for key in ("name", "licence"))
        self._require(fine, "provenance.head_model", "lacks name or licence")
        try:
            datetime.fromisoformat(provenance["created"])
        except ValueError:
            self._require(False, "provenance.created", "is no ISO 8601 time")

    def _keys(self) -> None:
        starts, members = self.arrays["key_starts"].astype(np.int64), self.arrays["key_vertices"]
        rising = starts[0] == 0 and starts[-1] == self.sizes["M"] and (np.diff(starts) >= 0).all()
        self._require(rising, "key_starts", "does not rise from 0 to the number of moving vertices")
        entries = self.sizes["E"] * self.sizes["V"]  # what shape keys take in memory
        self._require(entries <= TABLE["key_entries"], "key_starts", "has more keys than fit into memory")
        places = np.repeat(np.arange(self.sizes["E"]), np.diff(starts)) * self.sizes["V"] + members
        self._require((np.diff(places) > 0).all(), "key_vertices", "does not rise within a key")

    def _joints(self) -> None:
        parents = self.arrays["joint_parents"]
        ordered = ((parents >= -1) & (parents < np.arange(len(parents)))).all()
        self._require(ordered, "joint_parents", "has a joint that comes before its parent")

    def _cameras(self) -> None:
        viewmats, Ks = self.arrays["view_viewmats"], self.arrays["view_Ks"]
        turns = viewmats[:, :3, :3]
        off = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max(initial=0.0)
        fine = off <= TABLE["tolerance"] and (np.linalg.det(turns) > 0).all()
        fine = fine and (viewmats[:, 3] == (0, 0, 0, 1)).all()
        self._require(fine, "view_viewmats", "has matrices that are no rigid world-to-camera maps")
        fine = (Ks[:, (0, 1), (0, 1)] > 0).all() and (Ks[:, 2] == (0, 0, 1)).all()
        self._require(fine, "view_Ks", "has matrices that are no camera intrinsics")


def is_name(name: Any) -> bool:
    """Whether an avatar, key, joint or region may be called so (docs/avatar-format.md)."""
    return (
        isinstance(name, str)
        and 0 < len(name.encode("utf-8", "replace")) <= TABLE["name_bytes"]
        and name.isprintable()
        and not set(name) & set("/\\")
        and name == name.strip()
        and name not in (".", "..")
    )
