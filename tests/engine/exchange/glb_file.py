"""A .glb of splats by hand, from the extension's text alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path


def write_glb(path: Path, means, quats, scales, opacities, colors) -> None:
    """As the extension's text has it: linear scales, opacities 0..1, xyzw; at a node that turns, scales and shifts."""
    blob, views, accessors = bytearray(), [], []
    values = {"POSITION": means, "ROTATION": quats, "SCALE": scales, "OPACITY": opacities[:, None]}
    values["SH_DEGREE_0_COEF_0"] = (colors - 0.5) / 0.28209479177387814
    for rows in values.values():
        content, kind = rows.astype("<f4").tobytes(), {1: "SCALAR", 3: "VEC3", 4: "VEC4"}[rows.shape[1]]
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(content)})
        accessors.append({"bufferView": len(views) - 1, "componentType": 5126, "count": len(rows), "type": kind})
        blob += content
    extension = "KHR_gaussian_splatting"
    names = [name if name == "POSITION" else f"{extension}:{name}" for name in values]
    primitive = {"attributes": {name: k for k, name in enumerate(names)}, "mode": 0, "extensions": {extension: {}}}
    node = {"mesh": 0, "rotation": [0, 0.6, 0, 0.8], "scale": [2, 2, 2], "translation": [1, 2, 3]}
    said = {"asset": {"version": "2.0"}, "nodes": [node], "meshes": [{"primitives": [primitive]}]}
    said |= {"bufferViews": views, "accessors": accessors, "buffers": [{"byteLength": len(blob)}]}
    text = json.dumps(said).encode()
    text += b" " * (-len(text) % 4)
    length = 28 + len(text) + len(blob)
    head = struct.pack("<4sIIII", b"glTF", 2, length, len(text), 0x4E4F534A)
    path.write_bytes(head + text + struct.pack("<II", len(blob), 0x004E4942) + bytes(blob))
