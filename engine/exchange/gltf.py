"""Puts together one binary glTF 2.0 file: its arrays, a skeleton, meshes with skin and morph targets, pictures.

glTF's axes and units are the engine's (y up, faces toward +z, metres), and its faces wind the same way; only the origin
of textures is another: v points down.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pygltflib as lib
from PIL import Image
from scipy.spatial.transform import Rotation

COMPONENTS = {
    np.dtype(np.uint8): lib.UNSIGNED_BYTE,
    np.dtype(np.uint16): lib.UNSIGNED_SHORT,
    np.dtype(np.uint32): lib.UNSIGNED_INT,
    np.dtype(np.float32): lib.FLOAT,
}
KINDS = {1: lib.SCALAR, 2: lib.VEC2, 3: lib.VEC3, 4: lib.VEC4, 16: lib.MAT4}
PER_SET = 4  # joints that one pair of JOINTS_n and WEIGHTS_n holds


@dataclass(frozen=True)
class Skeleton:
    """Joints in a file: the nodes of what never moves and of each joint, and the number of the skin."""

    nodes: list[int]
    skin: int


class GltfFile:
    """A file in the making; what is added is answered with its number in the file's lists."""

    def __init__(self) -> None:
        self.document = lib.GLTF2(asset=lib.Asset(version="2.0", generator="Gaussian Heads"), scene=0)
        self.document.scenes = [lib.Scene(nodes=[])]
        self._blob = bytearray()

    def save(self, path: Path) -> None:
        self.document.buffers = [lib.Buffer(byteLength=len(self._blob))]
        self.document.set_binary_blob(self._blob)
        self.document.save_binary(str(path))

    def array(self, values: np.ndarray, *, target: int | None = None, bounds: bool = False, unit: bool = False) -> int:
        """An accessor with values [n] or [n, k] of uint8, uint16, uint32 or float32.

        Args:
            target: ARRAY_BUFFER for vertices, ELEMENT_ARRAY_BUFFER for triangles. bounds: say the smallest and
                largest, as positions and times must. unit: whole numbers stand for 0..1.
        """
        accessor = _accessor(values, bounds)
        accessor.bufferView, accessor.normalized = self._view(values.tobytes(), target), unit
        self.document.accessors.append(accessor)
        return len(self.document.accessors) - 1

    def displacements(self, values: np.ndarray) -> int:
        """A sparse accessor with [V, 3] float32 of which most rows are 0."""
        moving = np.flatnonzero(values.any(axis=1))
        rows = moving if len(moving) else np.array([0])  # no accessor may be sparse of nothing
        index = rows.astype(_smallest(len(values)))
        accessor = _accessor(values, bounds=True)
        accessor.byteOffset = None  # there is nothing below that is not sparse
        accessor.sparse = lib.Sparse(
            count=len(rows),
            indices=lib.AccessorSparseIndices(
                bufferView=self._view(index.tobytes()), componentType=COMPONENTS[index.dtype]
            ),
            values=lib.AccessorSparseValues(bufferView=self._view(values[rows].tobytes())),
        )
        self.document.accessors.append(accessor)
        return len(self.document.accessors) - 1

    def triangles(self, faces: np.ndarray) -> int:
        """An accessor with the corners of triangles [F, 3]."""
        corners = faces.reshape(-1)
        return self.array(corners.astype(_smallest(int(corners.max()) + 1)), target=lib.ELEMENT_ARRAY_BUFFER)

    def node(self, parent: int | None = None, **fields: object) -> int:
        """A node of the scene, or below another one."""
        self.document.nodes.append(lib.Node(**fields))  # type: ignore[arg-type]
        number = len(self.document.nodes) - 1
        siblings = self.document.scenes[0].nodes if parent is None else self.document.nodes[parent].children
        siblings.append(number)  # type: ignore[union-attr]
        return number

    def skeleton(
        self, name: str, root: str, names: Sequence[str], parents: np.ndarray, positions: np.ndarray, turns: np.ndarray
    ) -> Skeleton:
        """Joints [J] at ``positions`` [J, 3], turned by ``turns`` [J, 3] axis-angle, below one that never moves.

        Args:
            name: of the skeleton. root: of the joint that never moves, at the origin. names, parents: as an avatar's.
        """
        rig = self.node(name=name)
        nodes = [self.node(rig, name=root)]
        places = np.concatenate((np.zeros((1, 3)), positions)).astype(np.float64)
        for j, (joint, parent) in enumerate(zip(names, parents, strict=True)):
            shift = places[j + 1] - places[parent + 1]
            turn = Rotation.from_rotvec(turns[j]).as_quat()  # xyzw, as glTF has them
            nodes.append(self.node(nodes[parent + 1], name=joint, translation=shift.tolist(), rotation=turn.tolist()))
        inverse = np.tile(np.eye(4, dtype=np.float32), (len(places), 1, 1))
        inverse[:, 3, :3] = -places  # column-major: the last row here is the translation
        matrices = self.array(inverse.reshape(-1, 16))
        self.document.skins.append(lib.Skin(inverseBindMatrices=matrices, skeleton=nodes[0], joints=nodes, name=name))
        return Skeleton(nodes, len(self.document.skins) - 1)

    def influences(self, skin_weights: np.ndarray) -> dict[str, int]:
        """Attributes that bind [V, J + 1] weights to a skeleton's joints, four a set, in as many sets as are needed."""
        count = int((skin_weights > 0).sum(axis=1).max())
        width = -(-count // PER_SET) * PER_SET
        padded = np.pad(skin_weights.astype(np.float64), ((0, 0), (0, max(0, width - skin_weights.shape[1]))))
        joints = np.argsort(-padded, axis=1, kind="stable")[:, :width]
        weights = np.take_along_axis(padded, joints, axis=1)
        weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        joints = np.where(weights > 0, joints, 0).astype(np.uint8)
        attributes = {}
        for each, first in enumerate(range(0, width, PER_SET)):
            part = slice(first, first + PER_SET)
            attributes[f"JOINTS_{each}"] = self.array(joints[:, part], target=lib.ARRAY_BUFFER)
            attributes[f"WEIGHTS_{each}"] = self.array(weights[:, part], target=lib.ARRAY_BUFFER)
        return attributes

    def mesh(
        self,
        name: str,
        primitive: lib.Primitive,
        targets: Mapping[str, np.ndarray] | None = None,
        weights: np.ndarray | None = None,
    ) -> int:
        """A mesh of one primitive; ``targets`` are displacements [V, 3] by name, ``weights`` [E] how much of each."""
        mesh = lib.Mesh(name=name, primitives=[primitive])
        if targets:
            primitive.targets = [lib.Attributes(POSITION=self.displacements(delta)) for delta in targets.values()]
            mesh.extras = {"targetNames": list(targets)}  # where Blender, three and Babylon look for names
            mesh.weights = [] if weights is None else weights.astype(float).tolist()
        self.document.meshes.append(mesh)
        return len(self.document.meshes) - 1

    def animation(self, name: str, times: np.ndarray, channels: Sequence[tuple[int, str, np.ndarray]]) -> None:
        """A clip: what happens at ``times`` [T] seconds to nodes, each by its number, ``rotation`` [T, 4] xyzw or
        ``weights`` [T, E] of its morph targets."""
        animation = lib.Animation(name=name)
        clock = self.array(times.astype(np.float32), bounds=True)
        for node, path, values in channels:
            shape = values.reshape(-1) if path == lib.WEIGHTS else values
            output = self.array(np.ascontiguousarray(shape, np.float32))
            animation.samplers.append(lib.AnimationSampler(input=clock, output=output))
            target = lib.AnimationChannelTarget(node=node, path=path)
            animation.channels.append(lib.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))
        self.document.animations.append(animation)

    def material(self, name: str, picture: np.ndarray, see_through: bool, roughness: float) -> int:
        """A lit material that wears a picture [H, W, 4] uint8, sRGB with straight alpha.

        Where it can be seen through, it is cut at half its alpha, and seen from both sides: blended triangles would
        have to be drawn in order, which no program does within a mesh.
        """
        data = io.BytesIO()
        Image.fromarray(picture if see_through else picture[..., :3]).save(data, "PNG")
        self.document.images.append(lib.Image(mimeType="image/png", bufferView=self._view(data.getvalue()), name=name))
        self.document.samplers.append(
            lib.Sampler(
                magFilter=lib.LINEAR,
                minFilter=lib.LINEAR_MIPMAP_LINEAR,
                wrapS=lib.CLAMP_TO_EDGE,
                wrapT=lib.CLAMP_TO_EDGE,
            )  # fmt: skip
        )
        here = len(self.document.images) - 1
        self.document.textures.append(lib.Texture(sampler=here, source=here))
        surface = lib.PbrMetallicRoughness(
            baseColorTexture=lib.TextureInfo(index=here), metallicFactor=0.0, roughnessFactor=roughness
        )
        alpha = lib.MASK if see_through else lib.OPAQUE
        self.document.materials.append(
            lib.Material(name=name, pbrMetallicRoughness=surface, alphaMode=alpha, doubleSided=see_through)
        )
        return len(self.document.materials) - 1

    def _view(self, data: bytes, target: int | None = None) -> int:
        view = lib.BufferView(buffer=0, byteOffset=len(self._blob), byteLength=len(data), target=target)
        self._blob += data + bytes(-len(data) % 4)  # arrays start where their numbers may
        self.document.bufferViews.append(view)
        return len(self.document.bufferViews) - 1


def _accessor(values: np.ndarray, bounds: bool) -> lib.Accessor:
    rows = values.reshape(len(values), -1)
    accessor = lib.Accessor(componentType=COMPONENTS[values.dtype], count=len(rows), type=KINDS[rows.shape[1]])
    if bounds:
        accessor.min, accessor.max = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
    return accessor


def _smallest(count: int) -> type[np.unsignedinteger]:
    """The type of indices below ``count``; the largest number of a type is no index in glTF."""
    return np.uint16 if count < 65536 else np.uint32
