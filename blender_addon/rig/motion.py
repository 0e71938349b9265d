"""An eigenbasis (docs/avatar-format.md) as plain Blender data: coefficient vertices of the head, attributes of points.

Only a mesh knows what shape keys and bones amount to without drivers. So the head mesh ends in loose vertices, in no
face, whose shape keys sum the keys' share of the coefficients, and whose bones show how far each joint is turned:

===================  ==========  ==================================================================================
vertices             bone        place
===================  ==========  ==================================================================================
1                    none        the origin
1                    none        ``unit`` beside it along x: a coefficient of 1
4 per joint          its own     the origin, and the ends of the engine's axes x, y, z from it
4 per joint          its parent  the same
K                    none        the origin; each key moves vertex k by ``unit · gain`` along x
K per joint          none        off the origin by ``unit`` times the gains of the joint's three features
===================  ==========  ==================================================================================

Their lengths are kept small, so that the head's bounds stay as they are.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import bpy
import numpy as np

from .avatar_file import AvatarFile
from .axes import ENGINE_TO_BLENDER, to_blender
from .points import SH_C0, read_attribute, write_attribute

STEPS = np.array((0.001,) * 3 + (0.02,) * 4 + (0.05,) * 3 + (0.1,) + (0.01,) * 3, np.float32)  # units of the file
LARGEST_LOG = 20.0  # as in the engine: log scales and logits change by no more
# The points' attributes ``gs_basis_NAME_k``: their columns in the file, and their type. The color's is in radiance.
BASIS = {
    "offset": (slice(0, 3), "FLOAT_VECTOR"),
    "w": (slice(3, 4), "FLOAT"),
    "quat": (slice(4, 7), "FLOAT_VECTOR"),
    "scale": (slice(7, 10), "FLOAT_VECTOR"),
    "opacity": (slice(10, 11), "FLOAT"),
    "color": (slice(11, 14), "FLOAT_VECTOR"),
}
HEAD_VERTICES = "gaussian_head_vertices"  # property of a mesh with coefficient vertices: how many come before them
AXES = 2  # vertices before the joints' ones
JOINT_ROWS = 8  # vertices per joint
REACH = 0.02  # m, from the origin to where a vertex may get


@dataclass(frozen=True)
class Motion:
    """Where the coefficient vertices of a mesh are.

    Attributes:
        first: vertices before them. joints: J. components: K.
    """

    first: int
    joints: int
    components: int

    @property
    def keys(self) -> slice:
        """The rows of the mesh's vertices that keys move."""
        start = self.first + AXES + JOINT_ROWS * self.joints
        return slice(start, start + self.components)

    @property
    def gains(self) -> slice:
        """The rows of the joints' gains, joint by joint."""
        start = self.keys.stop
        return slice(start, start + self.joints * self.components)


@dataclass(frozen=True)
class CoefficientVertices:
    """What a mesh gets for an eigenbasis; nothing for a head without one.

    Attributes:
        motion: where they are; None if there are none.
        places: [H, 3] m, Blender's axes.
        moves: [E, K] m, along x, of the rows ``motion.keys`` at weight 1.
        bones: the joints' axes: a bone's name and the rows of the mesh that follow it.
    """

    motion: Motion | None
    places: np.ndarray
    moves: np.ndarray
    bones: tuple[tuple[str, list[int]], ...]


def coefficient_vertices(avatar: AvatarFile, root_bone: str) -> CoefficientVertices:
    """Lay out the vertices to append to the head's.

    Args:
        root_bone: the parent of joints without one.
    """
    if "eigenbasis" not in avatar.arrays:
        return CoefficientVertices(None, np.empty((0, 3), np.float32), np.empty((0, 0), np.float32), ())
    names, vertices = avatar.metadata["joint_names"], to_blender(avatar.vertices)
    motion = Motion(len(vertices), len(names), len(avatar.eigenbasis))
    keys, joints = np.split(avatar.eigenbasis_gains, [len(avatar.metadata["key_names"])])  # [E, K], [3 J, K]
    farthest = max(np.abs(keys).sum(axis=0).max(initial=1.0), np.abs(joints).max(initial=1.0))
    unit = 2.0 ** np.floor(np.log2(REACH / farthest))  # a power of two, which costs no bits
    axes = np.concatenate((np.zeros((1, 3)), REACH * ENGINE_TO_BLENDER.T))  # [4, 3]
    turned = joints.reshape(-1, 3, motion.components).transpose(0, 2, 1).reshape(-1, 3)  # [J · K, 3]
    places = np.concatenate(
        (
            np.zeros((1, 3)),
            [(unit, 0.0, 0.0)],
            np.tile(axes, (2 * motion.joints, 1)),
            np.zeros((motion.components, 3)),
            unit * turned,
        )
    )
    origin = np.clip(0.0, vertices.min(axis=0), vertices.max(axis=0))  # within the head's bounds
    bones, start = [], motion.first + AXES
    for name, parent in zip(names, avatar.joint_parents, strict=True):
        for bone in (name, root_bone if parent < 0 else names[parent]):
            bones.append((bone, list(range(start, start + len(axes)))))
            start += len(axes)
    return CoefficientVertices(motion, (origin + places).astype(np.float32), unit * keys, tuple(bones))


def write_basis(cloud: bpy.types.PointCloud, avatar: AvatarFile) -> Generator[None, None, None]:
    """Give the points their attributes, a direction at a time."""
    for number, direction in enumerate(avatar.arrays.get("eigenbasis", ())):
        change = direction.astype(np.float32) * STEPS
        for name, (columns, data_type) in BASIS.items():
            values = change[:, columns] / SH_C0 if name == "color" else change[:, columns]
            write_attribute(cloud, f"gs_basis_{name}_{number}", data_type, values)
        yield


def find_motion(mesh: bpy.types.Mesh, joints: int) -> Motion | None:
    """Where a head's coefficient vertices are; None where it has none.

    Args:
        joints: J, how many the head has.

    Raises:
        ValueError: vertices were added or removed.
    """
    if HEAD_VERTICES not in mesh:
        return None
    rows = len(mesh.vertices) - mesh[HEAD_VERTICES] - AXES - JOINT_ROWS * joints
    components, rest = divmod(rows, joints + 1)
    if components < 1 or rest:
        raise ValueError(f"{mesh.name} has another number of vertices than at first")
    return Motion(mesh[HEAD_VERTICES], joints, components)


def read_motion(
    motion: Motion, neutral: np.ndarray, deltas: np.ndarray, cloud: bpy.types.PointCloud
) -> dict[str, np.ndarray]:
    """The avatar file's two fields.

    Args:
        neutral: [V + H, 3] m, the mesh at rest, Blender's axes. deltas: [E, V + H, 3] m, what its keys add.
    """
    origin = neutral[motion.first]
    unit = neutral[motion.first + 1, 0] - origin[0]
    turned = (neutral[motion.gains] - origin).reshape(-1, motion.components, 3).transpose(0, 2, 1)  # [J, 3, K]
    gains = np.concatenate((deltas[:, motion.keys, 0], turned.reshape(-1, motion.components))) / unit
    basis = np.empty((motion.components, len(cloud.points), len(STEPS)), np.float16)
    for number, direction in enumerate(basis):
        for name, (columns, _) in BASIS.items():
            values = read_attribute(cloud, f"gs_basis_{name}_{number}").reshape(len(direction), -1)
            direction[:, columns] = (values * SH_C0 if name == "color" else values) / STEPS[columns]
    return {"eigenbasis": basis, "eigenbasis_gains": gains}
