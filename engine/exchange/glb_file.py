"""Reads binary glTF 2.0 of strangers: its JSON without going deep, and its arrays within its own bytes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from engine import plain_json

MAGIC, JSON, BIN = b"glTF", 0x4E4F534A, 0x004E4942
COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
MOST = 12_000_000  # rows of one array
DEEPEST = 256  # nodes from a root to what hangs below it


class Glb:
    """One file.

    Attributes:
        json: what it says. It is a stranger's: of any type wherever one looks.

    Raises:
        ValueError, LookupError, TypeError: it is damaged; so do all methods.
    """

    def __init__(self, content: bytes) -> None:
        magic, version, length = struct.unpack_from("<4sII", content)
        if magic != MAGIC or version != 2 or length > len(content):
            raise ValueError("it is no binary glTF 2.0, or cut short")
        chunks, place = {}, 12
        while place + 8 <= length:
            size, kind = struct.unpack_from("<II", content, place)
            chunks.setdefault(kind, content[place + 8 : place + 8 + size])
            place += 8 + size
        self.json: dict[str, Any] = plain_json.parse(chunks[JSON].decode("utf-8"))
        self._blob = chunks.get(BIN, b"")
        self._parents = {
            child: number for number, node in enumerate(self.all("nodes")) for child in node.get("children", ())
        }

    def all(self, what: str) -> list[dict[str, Any]]:
        """A list of its parts by their kind; empty where it has none."""
        found = self.json.get(what, [])
        if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
            raise ValueError(f"its {what} are no list of parts")
        return found

    def array(self, number: int) -> np.ndarray:
        """[n] or [n, k] an accessor's numbers; whole ones that stand for 0..1 as floats."""
        accessor = self.json["accessors"][number]
        width, count = WIDTHS[accessor["type"]], int(accessor["count"])
        dtype = np.dtype(COMPONENTS[accessor["componentType"]])
        if not 0 <= count <= MOST:
            raise ValueError(f"it has an array of {count} rows")
        if "bufferView" in accessor:
            values = self._rows(accessor["bufferView"], accessor.get("byteOffset", 0), dtype, width, count)
        else:
            values = np.zeros((count, width), dtype)
        if "sparse" in accessor:
            values = self._with_sparse(values.copy(), accessor["sparse"], dtype, width)
        if accessor.get("normalized"):
            values = np.maximum(values / np.float32(np.iinfo(dtype).max), -1).astype(np.float32)
        return values[:, 0] if width == 1 else values

    def _with_sparse(self, values: np.ndarray, sparse: dict[str, Any], dtype: np.dtype, width: int) -> np.ndarray:
        count, index, change = int(sparse["count"]), sparse["indices"], sparse["values"]
        kind = np.dtype(COMPONENTS[index["componentType"]])
        rows = self._rows(index["bufferView"], index.get("byteOffset", 0), kind, 1, count)[:, 0].astype(np.int64)
        if count and rows.max() >= len(values):
            raise ValueError("it changes rows that it does not have")
        values[rows] = self._rows(change["bufferView"], change.get("byteOffset", 0), dtype, width, count)
        return values

    def _rows(self, view_number: int, offset: int, dtype: np.dtype, width: int, count: int) -> np.ndarray:
        view = self.json["bufferViews"][view_number]
        start, row = int(view.get("byteOffset", 0)) + int(offset), dtype.itemsize * width
        stride = int(view.get("byteStride", row))
        end = start + (stride * (count - 1) + row if count else 0)
        if not 0 <= start <= end <= len(self._blob) or stride < row or count < 0:
            raise ValueError("it has an array beyond its own end")
        return (
            np.ndarray((count, width), dtype, self._blob, start, (stride, dtype.itemsize))
            if count
            else np.zeros((0, width), dtype)
        )

    def world(self, number: int) -> np.ndarray:
        """[4, 4] a node's place in the scene."""
        found = np.eye(4)
        for _ in range(DEEPEST):
            found = self._local(self.json["nodes"][number]) @ found
            if number not in self._parents:
                return found
            number = self._parents[number]
        raise ValueError("its nodes hang below themselves")

    def _local(self, node: dict[str, Any]) -> np.ndarray:
        if "matrix" in node:
            return np.array(node["matrix"], np.float64).reshape(4, 4).T
        found = np.eye(4)
        turn = Rotation.from_quat(np.array(node.get("rotation", (0, 0, 0, 1)), np.float64)).as_matrix()
        found[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)), np.float64).reshape(3)
        found[:3, 3] = np.array(node.get("translation", (0, 0, 0)), np.float64).reshape(3)
        return found

    def ancestors(self, number: int) -> list[int]:
        """A node and those that it hangs below, the root last."""
        found = [number]
        while found[-1] in self._parents and len(found) < DEEPEST:
            found.append(self._parents[found[-1]])
        return found
