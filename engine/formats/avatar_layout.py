"""The avatar file's fields and what must hold between them; docs/avatar-format.md says it for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from engine import plain_json
from engine.errors import AvatarError
from engine.formats.npz import DAMAGED, Budget, Field, Layout

TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("avatar.json").read_text("utf-8"))
"""The file's layout as data. The add-on, which has a reader of its own, reads this very table."""

RULES: dict[str, dict[str, Any]] = TABLE["fields"]
LAYOUT = Layout(
    version=TABLE["version"],
    fields={
        name: Field(rule["dtype"], tuple(rule["shape"]), rule.get("optional", False)) for name, rule in RULES.items()
    },
    limits=TABLE["limits"],
    unpacked=Budget(**TABLE["unpacked"]),
)
TOLERANCE = TABLE["tolerance"]  # of sums to one and of unit lengths
COUNTED = {"E": "key_starts", "J": "joint_parents", "R": "regions", "P": "view_sizes"}  # fields as long as the lists
KINDS = {"list": list, "dict": dict, "str": str}


def pack_metadata(metadata: Mapping[str, Any], source: str) -> np.ndarray:
    """UTF-8 JSON as bytes; what UTF-8 cannot say (odd file names of photos) becomes a question mark.

    Raises:
        AvatarError: something in it is not JSON, NaN included.
    """
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise AvatarError(
            f"{source}: the provenance is not JSON ({error}).", "Keep to text and finite numbers."
        ) from error
    return np.frombuffer(text.encode("utf-8", "replace"), np.uint8)


def check(arrays: Mapping[str, np.ndarray], source: str) -> dict[str, Any]:
    """Refuse contents that no avatar can have; arrays have the types and shapes of :data:`LAYOUT` already.

    Returns:
        The metadata, unpacked.

    Raises:
        AvatarError: names ``source`` and the field.
    """
    metadata = _check_metadata(arrays, source)
    for field in arrays:
        _check_field(arrays, field, source)
    _check_keys(arrays, source)
    _check_joints(arrays, metadata, source)
    _check_eigenbasis(arrays, source)
    _check_cameras(arrays, source)
    return metadata


def _require(holds: bool | np.bool_, source: str, field: str, what: str) -> None:
    if not holds:
        raise AvatarError(f"{source}: the field {field!r} {what}.", DAMAGED)


def _check_metadata(arrays: Mapping[str, np.ndarray], source: str) -> dict[str, Any]:
    try:
        metadata = plain_json.parse(arrays["metadata"].tobytes().decode("utf-8"))
        # Escaped lone surrogates are no text, and 1e999 is no number: both pass loads() and fail here.
        json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except ValueError as error:
        raise AvatarError(f"{source}: the field 'metadata' is no UTF-8 JSON ({error}).", DAMAGED) from error
    _require(
        isinstance(metadata, dict) and metadata.keys() == {"name", "provenance", *TABLE["lists"]},
        source, "metadata", f"does not hold exactly name, provenance, {', '.join(TABLE['lists'])}",
    )  # fmt: skip
    _require(is_name(metadata["name"]), source, "name", "is no plain name of 1 to 63 bytes without slashes")
    most = TABLE["photo_name_characters"]
    for field, letter in TABLE["lists"].items():
        names, size = metadata[field], len(arrays[COUNTED[letter]]) - (letter == "E")
        _require(isinstance(names, list) and len(names) == size, source, field, f"is no list of {size} names")
        if field == "view_names":
            fine = all(isinstance(name, str) and 0 < len(name) <= most for name in names)
            _require(fine, source, field, f"has a name that is not 1 to {most} characters long")
        else:
            _require(all(map(is_name, names)), source, field, "has a name that is not plain, 1 to 63 bytes")
            _require(len(set(names)) == size, source, field, "has the same name twice")
    _check_provenance(metadata["provenance"], source)
    return metadata


def _check_provenance(provenance: Any, source: str) -> None:
    _require(isinstance(provenance, dict), source, "provenance", "is no table")
    for key, kind in TABLE["provenance"].items():
        fine = isinstance(provenance.get(key), KINDS[kind])
        _require(fine, source, f"provenance.{key}", "is missing or of another kind")
    for photo in provenance["photos"]:
        fine = isinstance(photo, dict) and isinstance(photo.get("name"), str) and isinstance(photo.get("sha256"), str)
        _require(fine, source, "provenance.photos", "has an entry without name or sha256")
    model = provenance["head_model"]
    fine = isinstance(model.get("name"), str) and isinstance(model.get("licence"), str)
    _require(fine, source, "provenance.head_model", "lacks name or licence")
    try:
        datetime.fromisoformat(provenance["created"])
    except ValueError:
        _require(False, source, "provenance.created", "is no ISO 8601 time")


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


def plain_name(text: str) -> str:
    """A name that :func:`is_name` allows, as near to a text as one can be; ``Head`` where nothing of it can stay."""
    kept = "".join(char if char.isprintable() else "" for char in text.replace("/", "_").replace("\\", "_")).strip()
    while len(kept.encode("utf-8", "replace")) > TABLE["name_bytes"]:
        kept = kept[:-1].rstrip()
    return kept if is_name(kept) else "Head"


def _within(array: np.ndarray, low: float, high: float) -> bool:
    """All finite and in range; a NaN fails both comparisons."""
    return not array.size or low <= float(array.min()) and float(array.max()) <= high


def _check_field(arrays: Mapping[str, np.ndarray], field: str, source: str) -> None:
    """What the table says of one field alone."""
    array, rule = arrays[field], RULES[field]
    _require("filled" not in rule or len(array) > 0, source, field, "is empty")
    if "range" in rule:
        low, high = rule["range"]
        _require(_within(array, low, high), source, field, f"has values that are not within {low:g} to {high:g}")
    if "index" in rule:
        size = _size(arrays, rule["index"])
        _require(_within(array, 0, size - 1), source, field, f"points outside of the {size} that there are")
    if "sum" in rule:
        sums = array.sum(axis=1, dtype=np.float64)
        _require(_within(sums - rule["sum"], -TOLERANCE, TOLERANCE), source, field, "has rows whose sum is not 1")
    if "length" in rule:
        lengths = np.sqrt(np.einsum("nd,nd->n", array, array, dtype=np.float64))
        fine = _within(lengths - rule["length"], -TOLERANCE, TOLERANCE)
        _require(fine, source, field, "has rows that are not of length 1")


def _size(arrays: Mapping[str, np.ndarray], letter: str) -> int:
    """What a letter of the table's shapes stands for in these arrays."""
    return next(
        array.shape[axis]
        for field, array in arrays.items()
        for axis, name in enumerate(LAYOUT.fields[field].shape)
        if name == letter
    )


def _check_keys(arrays: Mapping[str, np.ndarray], source: str) -> None:
    starts, members = arrays["key_starts"].astype(np.int64), arrays["key_vertices"]
    rising = starts[0] == 0 and starts[-1] == len(members) and (np.diff(starts) >= 0).all()
    _require(rising, source, "key_starts", "does not rise from 0 to the number of moving vertices")
    entries = (len(starts) - 1) * len(arrays["vertices"])  # what shape keys take in memory
    _require(entries <= TABLE["key_entries"], source, "key_starts", "has more keys than fit into memory")
    keys = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    places = keys * len(arrays["vertices"]) + members
    _require((np.diff(places) > 0).all(), source, "key_vertices", "does not rise within a key")


def _check_joints(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any], source: str) -> None:
    parents = arrays["joint_parents"]
    ordered = ((parents >= -1) & (parents < np.arange(len(parents)))).all()
    _require(ordered, source, "joint_parents", "has a joint that comes before its parent")
    lacking = ", ".join(name for name in TABLE["joints"] if name not in metadata["joint_names"])
    _require(not lacking, source, "joint_names", f"lacks {lacking}")


def _check_eigenbasis(arrays: Mapping[str, np.ndarray], source: str) -> None:
    for field, other in (("eigenbasis", "eigenbasis_gains"), ("eigenbasis_gains", "eigenbasis")):
        _require(field in arrays or other not in arrays, source, field, f"is missing beside {other!r}")
    if "eigenbasis" not in arrays:
        return
    gains = arrays["eigenbasis_gains"]
    features = len(arrays["key_starts"]) - 1 + 3 * len(arrays["joint_parents"])
    _require(
        len(gains) == features, source, "eigenbasis_gains",
        f"has {len(gains)} rows instead of {features}: one per key and three per joint",
    )  # fmt: skip


def _check_cameras(arrays: Mapping[str, np.ndarray], source: str) -> None:
    viewmats, Ks = arrays["view_viewmats"], arrays["view_Ks"]
    turns = viewmats[:, :3, :3]
    fine = (
        np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max(initial=0.0) <= TOLERANCE
        and (np.linalg.det(turns) > 0).all()
        and (viewmats[:, 3] == (0, 0, 0, 1)).all()
    )
    _require(fine, source, "view_viewmats", "has matrices that are no rigid world-to-camera maps")
    fine = (Ks[:, (0, 1), (0, 1)] > 0).all() and (Ks[:, 2] == (0, 0, 1)).all()
    _require(fine, source, "view_Ks", "has matrices that are no camera intrinsics")
