"""Reads what glTF 2.0 says of a binary file, with nothing but the standard library and numpy."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

TYPES = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Document:
    """A file's ``json`` and its accessors."""

    def __init__(self, path: Path):
        content = path.read_bytes()
        magic, version, length, size, kind = struct.unpack("<4sII I4s", content[:20])
        assert (magic, version, length, kind) == (b"glTF", 2, len(content), b"JSON")
        self.json = json.loads(content[20 : 20 + size])
        self._binary = content[20 + size + 8 :]

    def array(self, number: int) -> np.ndarray:
        """[count, width]; sparse ones filled, whole numbers that stand for 0..1 as such."""
        accessor = self.json["accessors"][number]
        width, kind = WIDTHS[accessor["type"]], TYPES[accessor["componentType"]]
        if "bufferView" in accessor:
            values = self._view(accessor["bufferView"], kind).reshape(accessor["count"], width).copy()
        else:
            values = np.zeros((accessor["count"], width), kind)
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            rows = self._view(sparse["indices"]["bufferView"], TYPES[sparse["indices"]["componentType"]])
            values[rows] = self._view(sparse["values"]["bufferView"], kind).reshape(sparse["count"], width)
        if "min" in accessor:
            np.testing.assert_array_equal(values.min(axis=0), np.float32(accessor["min"]))
            np.testing.assert_array_equal(values.max(axis=0), np.float32(accessor["max"]))
        return values / np.iinfo(values.dtype).max if accessor.get("normalized") else values

    def view(self, number: int) -> bytes:
        view = self.json["bufferViews"][number]
        start = view.get("byteOffset", 0)
        return self._binary[start : start + view["byteLength"]]

    def _view(self, number: int, kind: str) -> np.ndarray:
        return np.frombuffer(self.view(number), kind)

    def world(self, number: int) -> np.ndarray:
        """[4, 4]: a node's place in the scene."""
        node = self.json["nodes"][number]
        own = np.eye(4)
        own[:3, :3] = Rotation.from_quat(node.get("rotation", (0, 0, 0, 1))).as_matrix()
        own[:3, 3] = node.get("translation", (0, 0, 0))
        above = [n for n, other in enumerate(self.json["nodes"]) if number in other.get("children", ())]
        return self.world(above[0]) @ own if above else own

    def node(self, name: str) -> dict:
        (found,) = (node for node in self.json["nodes"] if node["name"] == name)
        return found

    def moved(self, name: str) -> np.ndarray:
        """[V, 3]: the vertices of the skinned mesh on a node under its weights and its joints' turns."""
        node = self.node(name)
        mesh, skin = self.json["meshes"][node["mesh"]], self.json["skins"][node["skin"]]
        (primitive,) = mesh["primitives"]
        attributes = primitive["attributes"]
        places = self.array(attributes["POSITION"]).astype(float)
        for weight, target in zip(mesh["weights"], primitive["targets"], strict=True):
            places += weight * self.array(target["POSITION"])
        inverse = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        carried = np.array([self.world(joint) for joint in skin["joints"]]) @ inverse
        result, number = np.zeros((len(places), 4)), 0
        homogeneous = np.column_stack((places, np.ones(len(places))))
        while f"JOINTS_{number}" in attributes:
            joints = self.array(attributes[f"JOINTS_{number}"])
            weights = self.array(attributes[f"WEIGHTS_{number}"])
            result += np.einsum("vk,vkij,vj->vi", weights, carried[joints], homogeneous)
            number += 1
        np.testing.assert_allclose(result[:, 3], 1, atol=1e-6)
        return result[:, :3]
