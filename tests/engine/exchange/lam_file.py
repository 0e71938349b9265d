"""A LAM avatar as its makers lay it out: one folder in a .zip with skin.glb, offset.ply and what we do not read."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement

BONES = {"hip": None, "neck": 0, "head": 1, "jaw": 2}  # and whose child each is
PLACES = np.array([[0, 0.9, 0], [0, 1.5, 0], [0, 1.6, 0], [0, 1.58, 0.03]], np.float64)


def write_lam(path: Path, vertices: np.ndarray, faces: np.ndarray, keys: dict[str, np.ndarray], splats: dict) -> None:
    """``splats``: means counted from the vertices, colors, opacities, scales, quats."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/", b"")
        archive.writestr(f"{path.stem}/skin.glb", skin(vertices, faces, keys))
        archive.writestr(f"{path.stem}/offset.ply", offsets(splats))
        archive.writestr(f"{path.stem}/animation.glb", b"clips of a body")
        archive.writestr(f"{path.stem}/vertex_order.json", json.dumps(list(range(len(vertices)))))


def offsets(splats: dict) -> bytes:
    logits = np.log(splats["opacities"] / (1 - splats["opacities"]))
    columns = np.column_stack([splats["means"], splats["colors"], logits, np.log(splats["scales"]), splats["quats"]])
    names = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
    rows = columns.astype("<f4").view([(name, "<f4") for name in names]).reshape(-1)
    content = io.BytesIO()
    PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(content)
    return content.getvalue()


def skin(vertices: np.ndarray, faces: np.ndarray, keys: dict[str, np.ndarray]) -> bytes:
    blob, views, accessors = bytearray(), [], []

    def array(values: np.ndarray, kind: str, component: int) -> int:
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": values.nbytes})
        accessors.append({"bufferView": len(views) - 1, "componentType": component, "count": len(values), "type": kind})
        blob.extend(values.tobytes())
        blob.extend(bytes(-len(blob) % 4))
        return len(accessors) - 1

    def places(values: np.ndarray) -> int:
        return array(values.astype("<f4"), "VEC3", 5126)

    up = np.clip((vertices[:, 1] - 1.5) / 0.1, 0, 1)  # from what the hip holds to what the head moves
    weights = np.column_stack([1 - up, up, 0 * up, 0 * up]).astype("<f4")
    joints = np.tile(np.array([0, 2, 0, 0], "u1"), (len(vertices), 1))
    inverse = np.tile(np.eye(4, dtype="<f4"), (len(BONES), 1, 1))
    inverse[:, 3, :3] = -PLACES  # column by column
    primitive = {
        "attributes": {
            "POSITION": places(vertices),
            "JOINTS_0": array(joints, "VEC4", 5121),
            "WEIGHTS_0": array(weights, "VEC4", 5126),
        },
        "indices": array(faces.astype("<u4").reshape(-1), "SCALAR", 5125),
        "targets": [{"POSITION": places(delta)} for delta in keys.values()],
    }
    nodes = []
    for number, (name, parent) in enumerate(BONES.items()):
        place = PLACES[number] - (0 if parent is None else PLACES[parent])
        children = [child for child, other in enumerate(BONES.values()) if other == number]
        nodes.append({"name": name, "translation": list(place)} | ({"children": children} if children else {}))
    nodes.append({"name": "mesh", "mesh": 0, "skin": 0})
    said = {
        "asset": {"version": "2.0"},
        "nodes": nodes,
        "meshes": [{"primitives": [primitive], "extras": {"targetNames": list(keys)}}],
        "skins": [{"joints": list(range(len(BONES))), "inverseBindMatrices": array(inverse, "MAT4", 5126)}],
        "bufferViews": views,
        "accessors": accessors,
        "buffers": [{"byteLength": len(blob)}],
    }
    text = json.dumps(said).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(blob)
    head = struct.pack("<4sIIII", b"glTF", 2, length, len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(blob), 0x004E4942) + bytes(blob)
