"""Reads a FLAME file that somebody handed us, as data only: nothing in it is ever executed.

The licensed files are Python 2 pickles with chumpy and scipy objects inside. Here every class that they may name is a
stand-in that keeps what it was given; numbers are taken from the raw bytes once all sizes agree.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.archives import members, read_array
from engine.errors import HeadModelError

LARGEST_FILE = 128 * 2**20  # bytes; FLAME 2023's pickle has 52 MB
INFLATION, LEAST_CONTENT = 8, 32 * 2**20  # an .npz may unpack to so many times its size, or to so many bytes
MOST_STEPS = 20_000  # of a pickle; FLAME's have a few hundred
FEWEST_VERTICES, MOST_VERTICES = 500, 50_000  # FLAME has 5023
MOST_COMPONENTS = 1000
MOST_ROWS = 64  # of a sparse matrix: one a joint
HEIGHT = (0.15, 0.6)  # metres from the bust's rim to the crown; FLAME's 0.32
IDENTITIES = 300  # FLAME's identity components come first, its expression components after them
SMALL_RELEASE = (10, 10)  # identity and expression components of the reduced files that smplx knows as well
PARENTS = (-1, 0, 1, 1, 1)  # root, neck, jaw, left eye, right eye
CORRECTIVES = 36  # entries of R - I of the four joints below the root
KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights")
ENTRY_BYTES = 100  # of a table's entry in memory
PLAIN_TYPES = frozenset(f"{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)) - {"f1"} | {"b1"}
HINT = "Download the file again from flame.is.tue.mpg.de, or use the default head."


@dataclass(frozen=True)
class FlameFile:
    """A FLAME model's arrays, validated. Lengths in metres.

    Attributes:
        template: [V, 3]. faces: [F, 3] int32.
        identity_basis: [I, V, 3]. expression_basis: [E, V, 3].
        expression_names: E names, where the file has its own; else empty.
        pose_correctives: [36, V, 3]. joint_regressor: [5, V]. skin_weights: [V, 5].
    """

    template: np.ndarray
    faces: np.ndarray
    identity_basis: np.ndarray
    expression_basis: np.ndarray
    expression_names: tuple[str, ...]
    pose_correctives: np.ndarray
    joint_regressor: np.ndarray
    skin_weights: np.ndarray


def read_bytes(path: Path) -> bytes:
    """The file's content.

    Raises:
        HeadModelError: it is absent, unreadable or too large for a head model.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, a device has no end
            raise HeadModelError(f"{path} is no file.", "Give the path of a FLAME file.")
        if path.stat().st_size > LARGEST_FILE:
            raise HeadModelError(f"{path.name} is too large for a FLAME model ({LARGEST_FILE >> 20} MB at most).", HINT)
        return path.read_bytes()
    except OSError as error:
        raise HeadModelError(
            f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error


def read_flame(path: Path) -> FlameFile:
    """Read and validate FLAME 2020, 2023 or 2023 Open: ``.pkl`` as downloaded, or ``.npz`` with the same keys.

    Raises:
        HeadModelError: the file is absent, damaged, names anything beyond plain arrays, or is not a FLAME model.
    """
    data = read_bytes(path)
    _refuse_stand_ins(data, path.name)
    try:
        content = _npz(data) if zipfile.is_zipfile(io.BytesIO(data)) else _pickle(data)
        return _validate(content)
    except HeadModelError as error:
        raise HeadModelError(f"{path.name}: {error.message}", error.hint) from error
    except Exception as error:  # a damaged pickle or zip can fail in any way at all
        raise HeadModelError(f"{path.name} is damaged or not a FLAME model ({error}).", HINT) from error


def _refuse_stand_ins(data: bytes, name: str) -> None:
    """Name what downloads leave in a model's place."""
    start = data[:200].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise HeadModelError(
            f"{name} is a web page, not a FLAME model.", "Log in at flame.is.tue.mpg.de and download the file again."
        )
    if start.startswith(b"version https://git-lfs"):
        raise HeadModelError(f"{name} is only Git LFS' pointer to a file.", "Run git lfs pull where it came from.")


def _npz(data: bytes) -> dict[str, Any]:
    def accept(shape: tuple[int, ...], dtype: np.dtype) -> None:
        if dtype.kind not in "fiubU" or min(shape, default=0) < 0:
            raise ValueError(f"an array of type {dtype}, not plain numbers")

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = members(archive, min(4 * LARGEST_FILE, max(LEAST_CONTENT, INFLATION * len(data))))
        wanted = {f"{key}.npy": key for key in (*KEYS, "expression_names", "n_shape")}
        return {key: read_array(archive, found[name], accept) for name, key in wanted.items() if name in found}


def _pickle(data: bytes) -> dict[str, Any]:
    # The steps are read before any is taken: one of a byte may ask for gigabytes that the file does not have.
    for number, _ in enumerate(pickletools.genops(data)):
        if number > MOST_STEPS:
            raise HeadModelError("it has more parts than a head model can need.", HINT)
    content = _Unpickler(data).load()
    if not isinstance(content, dict):
        raise HeadModelError("it holds no dictionary of arrays.", HINT)
    return {key: _numbers(content[key], key) for key in KEYS if key in content}


class _Unpickler(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
    """Admits arrays and their wrappers, as stand-ins made for this one load.

    Python's own unpickler, not the one in C: that one reserves whatever memory the stream asks for.
    """

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data), encoding="latin1")
        left = len(data)  # what its calls may copy; a few bytes could name a large part again and again

        def count(size: int) -> None:
            nonlocal left
            left -= size
            if left < 0:
                raise HeadModelError("it unpacks to more than it holds.", HINT)

        # Made anew: a hostile stream may set attributes on a class that it names.
        kept, array, dtype = (type(name, (_Kept,), {}) for name in ("Chumpy", "Array", "Dtype"))
        sparse = {layout: type("Sparse", (_Kept,), {"layout": layout}) for layout in ("csc", "csr", "coo")}

        def counted(made: Callable) -> Callable:
            def make(parts: Any = ()) -> Any:
                count(ENTRY_BYTES * len(parts))
                return made(parts)

            return make

        def encode(text: str, _codec: str) -> bytes:
            count(len(text))
            return text.encode("latin1")

        def from_buffer(raw: Any, kind: Any, shape: Any, order: Any) -> _Kept:
            made = array()
            made.state = (1, shape, kind, order == "F", raw)
            return made

        reconstruct = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
        self._admitted: dict[tuple[str, str], Any] = {
            ("chumpy.ch", "Ch"): kept,
            ("numpy", "ndarray"): array,
            ("numpy", "dtype"): dtype,
            ("collections", "OrderedDict"): counted(dict),
            **{key: lambda _type, _shape, _kind: array() for key in reconstruct},
            **{(f"{package}.numeric", "_frombuffer"): from_buffer for package in ("numpy.core", "numpy._core")},
            **{
                (f"scipy.sparse.{hidden}{layout}", f"{layout}_{kind}"): made
                for layout, made in sparse.items()
                for hidden in ("", "_")
                for kind in ("matrix", "array")
            },
            **{(module, "object"): object for module in ("__builtin__", "builtins")},
            **{(module, "set"): counted(set) for module in ("__builtin__", "builtins")},
            **{(module, "_reconstructor"): lambda kind, _base, _state: kind() for module in ("copy_reg", "copyreg")},
            ("_codecs", "encode"): encode,
        }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._admitted:
            raise HeadModelError(
                f"it wants to load {module}.{name}, which no head model needs; nothing was executed.", HINT
            )
        return self._admitted[module, name]


class _Kept:
    """Keeps the arguments and the state that a pickle gives an object."""

    layout = ""  # of a sparse matrix

    def __init__(self, *arguments: Any):
        self.arguments, self.state = arguments, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _numbers(value: Any, key: str) -> np.ndarray:
    """The array inside nested stand-ins."""
    kind = type(value).__name__
    if isinstance(value, _Kept) and kind == "Chumpy" and isinstance(value.state, dict):
        return _numbers(value.state["x"], key)
    if isinstance(value, _Kept) and kind == "Sparse" and isinstance(value.state, dict):
        return _dense(value.state, type(value).layout, key)
    if isinstance(value, _Kept) and kind == "Array" and isinstance(value.state, tuple):
        _, shape, dtype, is_fortran, raw = value.state
        plain = np.dtype(_plain_type(dtype))
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        if math.prod(shape) * plain.itemsize != len(raw) or min(shape, default=0) < 0:
            raise HeadModelError(f"the array {key} is cut short.", HINT)
        return np.frombuffer(raw, plain).reshape(shape, order="F" if is_fortran else "C")
    raise HeadModelError(f"{key} is not an array.", HINT)


def _plain_type(dtype: _Kept) -> str:
    code, order = str(dtype.arguments[0]), dtype.state[1] if dtype.state else "="
    if code not in PLAIN_TYPES or order not in "<>=|":
        raise HeadModelError(f"it holds an array of type {code}, not plain numbers.", HINT)
    return ("" if order in "=|" else order) + code


def _dense(state: dict[str, Any], layout: str, key: str) -> np.ndarray:
    """A sparse matrix [rows, columns], dense.

    Args:
        layout: scipy's: ``csc`` and ``csr`` are compressed by columns and rows, ``coo`` is not.
    """
    rows, columns = (int(size) for size in state["_shape" if "_shape" in state else "shape"])
    if not (0 < rows <= MOST_ROWS and 0 < columns <= MOST_VERTICES):
        raise HeadModelError(f"the matrix {key} has an impossible size.", HINT)
    damaged = HeadModelError(f"the matrix {key} is damaged.", HINT)
    data = _numbers(state["data"], key)
    if layout == "coo":
        coords = state["coords"] if "coords" in state else (state["row"], state["col"])
        row, column = (_numbers(part, key) for part in coords)
    else:
        inner, starts = (_numbers(state[part], key) for part in ("indices", "indptr"))
        counts = np.diff(starts.astype(np.int64))
        outer = columns if layout == "csc" else rows
        if len(counts) != outer or (counts < 0).any() or counts.sum() != len(data):
            raise damaged
        row, column = inner, np.repeat(np.arange(outer), counts)
        if layout == "csr":
            row, column = column, row
    if not len(row) == len(column) == len(data):
        raise damaged
    for places, size in ((row, rows), (column, columns)):
        if places.min(initial=0) < 0 or places.max(initial=0) >= size:
            raise damaged
    dense = np.zeros((rows, columns))
    np.add.at(dense, (row, column), data)
    return dense


def _validate(content: dict[str, Any]) -> FlameFile:
    missing = [key for key in KEYS if key not in content]
    if missing:
        raise HeadModelError(f"it lacks {', '.join(missing)} and is no FLAME model.", HINT)
    template, shapes = np.asarray(content["v_template"]), np.asarray(content["shapedirs"])
    count = len(template)
    components = shapes.shape[-1]
    expected = {
        "v_template": (count, 3),
        "f": (len(content["f"]), 3),
        "shapedirs": (count, 3, components),
        "posedirs": (count, 3, CORRECTIVES),
        "J_regressor": (len(PARENTS), count),
        "kintree_table": (2, len(PARENTS)),
        "weights": (count, len(PARENTS)),
    }
    for key, shape in expected.items():
        array = np.asarray(content[key])
        if array.shape != shape or array.dtype.kind not in "fiu":
            raise HeadModelError(f"{key} has shape {list(array.shape)} where FLAME has {list(shape)}.", HINT)
        if not np.isfinite(array).all():
            raise HeadModelError(f"{key} holds numbers that are not finite.", HINT)
    _require(FEWEST_VERTICES <= count <= MOST_VERTICES, f"it has {count} vertices where FLAME has 5023.")
    _require(0 < components <= MOST_COMPONENTS, f"it has {components} components where FLAME has 400.")
    faces = np.asarray(content["f"])
    _require(faces.dtype.kind in "iu" and len(faces) <= 4 * count, "its triangles are not a list of indices.")
    _require(faces.min() >= 0 and faces.max() < count, "its triangles name vertices that do not exist.")
    parents = tuple(-1 if p < 0 or p > len(PARENTS) else int(p) for p in np.asarray(content["kintree_table"])[0])
    _require(parents == PARENTS, "its joints are not FLAME's root, neck, jaw and eyes.")
    weights = np.asarray(content["weights"], np.float64)
    off = float(np.abs(weights.sum(axis=1) - 1).max())
    _require(float(weights.min()) > -1e-4 and off < 1e-2, "its skin weights do not sum to 1.")
    height = float(np.ptp(template[:, 1]))
    _require(HEIGHT[0] < height < HEIGHT[1], f"its head is {height:.2f} m high; FLAME's unit is the metre.")

    names = tuple(str(name) for name in np.asarray(content.get("expression_names", ())))
    identities = int(content.get("n_shape", _identities(components)))
    _require(0 < identities <= components, "its numbers of components contradict each other.")
    _require(len(names) in (0, components - identities), "its expression names do not match its components.")
    _require(len(set(names)) == len(names) and all(len(name) < 64 for name in names), "its expression names are odd.")
    basis = np.asarray(shapes, np.float32).transpose(2, 0, 1)
    clipped = np.clip(weights, 0, None)
    return FlameFile(
        template=template.astype(np.float32),
        faces=faces.astype(np.int32),
        identity_basis=np.ascontiguousarray(basis[:identities]),
        expression_basis=np.ascontiguousarray(basis[identities:]),
        expression_names=names,
        pose_correctives=np.ascontiguousarray(np.asarray(content["posedirs"], np.float32).transpose(2, 0, 1)),
        joint_regressor=np.asarray(content["J_regressor"], np.float32),
        skin_weights=(clipped / clipped.sum(axis=1, keepdims=True)).astype(np.float32),
    )


def _identities(components: int) -> int:
    """How many of the shape components are identity's."""
    if components == sum(SMALL_RELEASE):
        return SMALL_RELEASE[0]
    return min(IDENTITIES, components)


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise HeadModelError(complaint, HINT)
