"""The avatar file's fields and what must hold between them; docs/avatar-format.md says it for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from engine.errors import AvatarError
from engine.formats.npz import DAMAGED, Field
from engine.gaussians.gaussians import PARTS

VERSION = 1
FIELDS: dict[str, Field] = {
    "version": Field("<i4", ()),
    "metadata": Field("|u1", ("B",)),
    "vertices": Field("<f4", ("V", 3)),
    "faces": Field("<i4", ("F", 3)),
    "uv": Field("<f4", ("T", 2)),
    "uv_faces": Field("<i4", ("F", 3)),
    "regions": Field("|u1", ("R", "V")),
    "key_starts": Field("<i4", ("E+1",)),
    "key_vertices": Field("<i4", ("M",)),
    "key_deltas": Field("<f4", ("M", 3)),
    "joint_parents": Field("<i4", ("J",)),
    "joint_positions": Field("<f4", ("J", 3)),
    "skin_weights": Field("<f4", ("V", "J+1")),
    "triangles": Field("<i4", ("N",)),
    "barycentrics": Field("<f4", ("N", 3)),
    "offsets": Field("<f4", ("N", 3)),
    "quats": Field("<f4", ("N", 4)),
    "scales": Field("<f4", ("N", 3)),
    "opacities": Field("<f4", ("N",)),
    "colors": Field("<f4", ("N", 3)),
    "parts": Field("|u1", ("N",)),
    "eigenbasis": Field("<f2", ("K", "N", 14), optional=True),
    "eigenbasis_gains": Field("<f4", ("G", "K"), optional=True),
    "view_viewmats": Field("<f8", ("P", 4, 4)),
    "view_Ks": Field("<f8", ("P", 3, 3)),
    "view_sizes": Field("<i4", ("P", 2)),
    "view_expressions": Field("<f8", ("P", "E")),
    "view_joint_rotations": Field("<f8", ("P", "J", 3)),
}
# The largest sizes that a head needs, many times over; E × V is also what shape keys take in memory.
LIMITS = {
    "B": 1 << 22, "V": 200_000, "F": 400_000, "T": 400_000, "R": 64, "E": 1024, "M": 40_000_000, "J": 64,
    "N": 4_000_000, "P": 1024, "K": 32, "G": 1024 + 3 * 64,
}  # fmt: skip
MAX_KEY_ENTRIES = 40_000_000  # E × V, 480 MB once unpacked
NAME_BYTES = 63  # what every Blender version takes as an object's, bone's or shape key's name
PHOTO_NAME_LENGTH = 1024
FARTHEST = 100.0  # m, any position or offset
LARGEST = 10.0  # m, any scale
STRONGEST = 10.0  # any expression weight (FLAME's components go beyond 1)
COLOR_RANGE = (-0.5, 1.5)  # trained colours overshoot a little; what is seen is the blend, clamped
BARYCENTRIC_RANGE = (-1.0, 2.0)  # an anchor may lie a little outside, in a UV island's margin
STEEPEST = 2.0  # steps, any entry of the eigenbasis; writers bring each direction's largest to about 1
MOST_GAIN = 1e4  # steps, any entry of the eigenbasis' gains
TOLERANCE = 1e-3  # of sums to one and of unit lengths
LISTS = ("key_names", "joint_names", "region_names", "view_names")
PROVENANCE = {"photos": list, "head_model": dict, "versions": dict, "options": dict, "metrics": dict, "created": str}


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
    """Refuse contents that no avatar can have; arrays have the types and shapes of :data:`FIELDS` already.

    Returns:
        The metadata, unpacked.

    Raises:
        AvatarError: names ``source`` and the field.
    """
    metadata = _check_metadata(arrays, source)
    _check_mesh(arrays, source)
    _check_rig(arrays, source)
    _check_gaussians(arrays, source)
    _check_eigenbasis(arrays, source)
    _check_views(arrays, source)
    return metadata


def _require(holds: bool | np.bool_, source: str, field: str, what: str) -> None:
    if not holds:
        raise AvatarError(f"{source}: the field {field!r} {what}.", DAMAGED)


def _check_metadata(arrays: Mapping[str, np.ndarray], source: str) -> dict[str, Any]:
    def reject(constant: str) -> float:
        raise ValueError(f"{constant} is not a number")

    try:
        metadata = json.loads(arrays["metadata"].tobytes().decode("utf-8"), parse_constant=reject)
        # Escaped lone surrogates are no text, and 1e999 is no number: both pass loads() and fail here.
        json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise AvatarError(f"{source}: the field 'metadata' is no UTF-8 JSON ({error}).", DAMAGED) from error
    _require(
        isinstance(metadata, dict) and metadata.keys() == {"name", "provenance", *LISTS},
        source, "metadata", f"does not hold exactly name, provenance, {', '.join(LISTS)}",
    )  # fmt: skip
    _require(is_name(metadata["name"]), source, "name", "is no plain name of 1 to 63 bytes without slashes")
    sizes = {
        "key_names": len(arrays["key_starts"]) - 1,
        "joint_names": len(arrays["joint_parents"]),
        "region_names": len(arrays["regions"]),
        "view_names": len(arrays["view_sizes"]),
    }
    for field, size in sizes.items():
        names = metadata[field]
        _require(isinstance(names, list) and len(names) == size, source, field, f"is no list of {size} names")
        if field == "view_names":
            fine = all(isinstance(name, str) and 0 < len(name) <= PHOTO_NAME_LENGTH for name in names)
            _require(fine, source, field, f"has a name that is not 1 to {PHOTO_NAME_LENGTH} characters long")
        else:
            _require(all(map(is_name, names)), source, field, "has a name that is not plain, 1 to 63 bytes")
            _require(len(set(names)) == size, source, field, "has the same name twice")
    _check_provenance(metadata["provenance"], source)
    return metadata


def _check_provenance(provenance: Any, source: str) -> None:
    _require(isinstance(provenance, dict), source, "provenance", "is no table")
    for key, kind in PROVENANCE.items():
        _require(isinstance(provenance.get(key), kind), source, f"provenance.{key}", "is missing or of another kind")
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
        and 0 < len(name.encode("utf-8", "replace")) <= NAME_BYTES
        and name.isprintable()
        and not set(name) & set("/\\")
        and name == name.strip()
        and name not in (".", "..")
    )


def plain_name(text: str) -> str:
    """A name that :func:`is_name` allows, as near to a text as one can be; ``Head`` where nothing of it can stay."""
    kept = "".join(char if char.isprintable() else "" for char in text.replace("/", "_").replace("\\", "_")).strip()
    while len(kept.encode("utf-8", "replace")) > NAME_BYTES:
        kept = kept[:-1].rstrip()
    return kept if is_name(kept) else "Head"


def _within(array: np.ndarray, low: float, high: float) -> bool:
    """All finite and in range; a NaN fails both comparisons."""
    return bool(((array >= low) & (array <= high)).all())


def _check_mesh(arrays: Mapping[str, np.ndarray], source: str) -> None:
    for field in ("vertices", "faces", "uv"):
        _require(len(arrays[field]) > 0, source, field, "is empty")
    for field in ("vertices", "joint_positions", "key_deltas", "offsets"):
        _require(_within(arrays[field], -FARTHEST, FARTHEST), source, field, "has values that are no positions")
    _require(_within(arrays["uv"], -TOLERANCE, 1 + TOLERANCE), source, "uv", "leaves the range 0 to 1")
    for field, target in (("faces", "vertices"), ("uv_faces", "uv"), ("key_vertices", "vertices")):
        _require(_within(arrays[field], 0, len(arrays[target]) - 1), source, field, f"points outside of {target!r}")
    _require(_within(arrays["regions"], 0, 1), source, "regions", "has values other than 0 and 1")


def _check_rig(arrays: Mapping[str, np.ndarray], source: str) -> None:
    starts, members = arrays["key_starts"].astype(np.int64), arrays["key_vertices"]
    rising = starts[0] == 0 and starts[-1] == len(members) and (np.diff(starts) >= 0).all()
    _require(rising, source, "key_starts", "does not rise from 0 to the number of moving vertices")
    entries = (len(starts) - 1) * len(arrays["vertices"])
    _require(entries <= MAX_KEY_ENTRIES, source, "key_starts", "has more keys than fit into memory")
    keys = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    places = keys * len(arrays["vertices"]) + members
    _require((np.diff(places) > 0).all(), source, "key_vertices", "does not rise within a key")

    parents = arrays["joint_parents"]
    ordered = ((parents >= -1) & (parents < np.arange(len(parents)))).all()
    _require(ordered, source, "joint_parents", "has a joint that comes before its parent")
    weights = arrays["skin_weights"]
    fine = _within(weights, -TOLERANCE, 1 + TOLERANCE) and _within(weights.sum(1) - 1, -TOLERANCE, TOLERANCE)
    _require(fine, source, "skin_weights", "has rows that are not 0..1 with the sum 1")


def _check_gaussians(arrays: Mapping[str, np.ndarray], source: str) -> None:
    fine = _within(arrays["triangles"], 0, len(arrays["faces"]) - 1)
    _require(fine, source, "triangles", "points outside of 'faces'")
    anchors = arrays["barycentrics"]
    fine = _within(anchors, *BARYCENTRIC_RANGE) and _within(anchors.sum(1) - 1, -TOLERANCE, TOLERANCE)
    _require(fine, source, "barycentrics", f"has rows that are not in {BARYCENTRIC_RANGE} with the sum 1")
    lengths = np.sqrt(np.einsum("nd,nd->n", arrays["quats"], arrays["quats"], dtype=np.float64))
    _require(_within(lengths - 1, -TOLERANCE, TOLERANCE), source, "quats", "has rows that are not of length 1")
    scales = arrays["scales"]
    fine = _within(scales, 0, LARGEST) and bool((scales > 0).all())
    _require(fine, source, "scales", f"has values that are not above 0 and at most {LARGEST} m")
    _require(_within(arrays["opacities"], 0, 1), source, "opacities", "leaves the range 0 to 1")
    _require(_within(arrays["colors"], *COLOR_RANGE), source, "colors", f"leaves the range {COLOR_RANGE}")
    _require(_within(arrays["parts"], 0, len(PARTS) - 1), source, "parts", f"has values outside of {PARTS}")


def _check_eigenbasis(arrays: Mapping[str, np.ndarray], source: str) -> None:
    for field, other in (("eigenbasis", "eigenbasis_gains"), ("eigenbasis_gains", "eigenbasis")):
        _require(field in arrays or other not in arrays, source, field, f"is missing beside {other!r}")
    if "eigenbasis" not in arrays:
        return
    basis, gains = arrays["eigenbasis"], arrays["eigenbasis_gains"]
    _require(len(basis) > 0, source, "eigenbasis", "is empty")
    features = len(arrays["key_starts"]) - 1 + 3 * len(arrays["joint_parents"])
    _require(
        len(gains) == features, source, "eigenbasis_gains",
        f"has {len(gains)} rows instead of {features}: one per key and three per joint",
    )  # fmt: skip
    _require(_within(basis, -STEEPEST, STEEPEST), source, "eigenbasis", f"has values beyond ±{STEEPEST:.3g} steps")
    _require(_within(gains, -MOST_GAIN, MOST_GAIN), source, "eigenbasis_gains", f"has values beyond ±{MOST_GAIN:.3g}")


def _check_views(arrays: Mapping[str, np.ndarray], source: str) -> None:
    viewmats, Ks = arrays["view_viewmats"], arrays["view_Ks"]
    fine = _within(viewmats, -FARTHEST, FARTHEST)
    if fine:
        turns = viewmats[:, :3, :3]
        fine = (
            np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max(initial=0.0) <= TOLERANCE
            and (np.linalg.det(turns) > 0).all()
            and (viewmats[:, 3] == (0, 0, 0, 1)).all()
        )
    _require(fine, source, "view_viewmats", "has matrices that are no rigid world-to-camera maps")
    fine = _within(Ks, -1e6, 1e6) and (Ks[:, (0, 1), (0, 1)] > 0).all() and (Ks[:, 2] == (0, 0, 1)).all()
    _require(fine, source, "view_Ks", "has matrices that are no camera intrinsics")
    _require(_within(arrays["view_sizes"], 1, 1 << 14), source, "view_sizes", "has sizes outside of 1 to 16384")
    for field, bound in (("view_expressions", STRONGEST), ("view_joint_rotations", 2 * np.pi)):
        _require(_within(arrays[field], -bound, bound), source, field, f"has values beyond ±{bound:.3g}")
