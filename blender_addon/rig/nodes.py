"""The Geometry Nodes tree that carries every Gaussian with its triangle of the moving head.

What docs/avatar-format.md calls "How it moves", step 4; for heads with an eigenbasis, step 3 before it. Frames and
growth are worked out once per triangle, not once per Gaussian: there are ten times fewer of them.

Attributes read from the points: ``gs_triangle``, ``gs_barycentrics``, ``gs_offset``, ``gs_quat``, ``gs_scale``; from
the head's faces: ``gs_rest_area``. Written: ``position``, ``rotation`` (wxyz), ``scale``; with an eigenbasis
``radiance:base`` as well.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress

import bpy

from ..compat import RADIANCE, set_modifier_input
from . import motion_nodes
from .motion import Motion
from .motion_nodes import Gaussians
from .wiring import Wiring

TREE = "Gaussian Head Binding"
MOTION_TREE = "Gaussian Head Motion"
VERSION = 1  # counts changes of the tree; older files keep the tree that they were saved with
STRETCH = (0.5, 2.5)  # limits of a Gaussian's growth with its triangle, as in the engine


def binding_steps(has_motion: bool = False) -> Generator[None, None, bpy.types.GeometryNodeTree]:
    """The tree of this version, made where the file has none, in pieces of less than 100 ms.

    Args:
        has_motion: whether for heads with an eigenbasis.
    """
    mark = "gaussian_heads_motion" if has_motion else "gaussian_heads_binding"
    for tree in bpy.data.node_groups:
        if tree.library is None and tree.get(mark) == VERSION:
            return tree
    tree = bpy.data.node_groups.new(MOTION_TREE if has_motion else TREE, "GeometryNodeTree")
    try:
        yield from _filled(tree, has_motion)
    except BaseException:
        with suppress(ReferenceError):  # it went with an undo or another file
            bpy.data.node_groups.remove(tree)
        raise
    tree[mark] = VERSION
    return tree


def _filled(tree: bpy.types.GeometryNodeTree, has_motion: bool) -> Generator[None, None, None]:
    tree.is_modifier = True
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    socket = tree.interface.new_socket("Head", in_out="INPUT", socket_type="NodeSocketObject")
    socket.description = "The mesh that the Gaussians follow"
    if has_motion:
        for name, description in motion_nodes.INPUTS.items():
            socket = tree.interface.new_socket(name, in_out="INPUT", socket_type="NodeSocketInt")
            socket.description = description
            socket.hide_in_modifier = True
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    yield from _Builder(tree).build(has_motion)


def bind(
    splats: bpy.types.Object, head: bpy.types.Object, tree: bpy.types.GeometryNodeTree, motion: Motion | None = None
) -> bpy.types.Modifier:
    """Let a point cloud object follow a head mesh, and its eigenbasis where it has one.

    Args:
        tree: of :func:`binding_steps`.
    """
    modifier = splats.modifiers.new("Gaussian Head", "NODES")
    modifier.node_group = tree
    values: dict[str, bpy.types.Object | int] = {"Head": head}
    if motion is not None:
        values |= zip(motion_nodes.INPUTS, (motion.first, motion.joints, motion.components), strict=True)
    for item in tree.interface.items_tree:
        if item.name in values:
            set_modifier_input(modifier, item.identifier, values[item.name])
    return modifier


class _Builder(Wiring):
    """Wires the tree, one idea a method."""

    def build(self, has_motion: bool) -> Generator[None, None, None]:
        given, result = self.node("NodeGroupInput"), self.node("NodeGroupOutput")
        info = self.node("GeometryNodeObjectInfo", transform_space="RELATIVE")
        self.link(given.outputs["Head"], info.inputs["Object"])
        mesh = info.outputs["Geometry"]

        corners = [self.corner(k) for k in range(3)]
        first, second = (self.vector("SUBTRACT", corner, corners[0]) for corner in corners[1:])
        normal = self.vector("CROSS_PRODUCT", first, second)
        frame = self.node("FunctionNodeAxesToRotation", primary_axis="Z", secondary_axis="X")
        rotation = self.wire(frame, self.vector("NORMALIZE", normal), self.vector("NORMALIZE", first))
        mesh, fields = self.capture(mesh, (*corners, self.stretch(normal)), rotation)
        *corners, stretch, rotation = (self.sample(mesh, field, kind) for field, kind in fields)
        yield

        weights = self.node("ShaderNodeSeparateXYZ")
        self.link(self.attribute("gs_barycentrics", "FLOAT_VECTOR"), weights.inputs[0])
        anchor = self.scale(corners[0], weights.outputs[0])
        for corner, weight in zip(corners[1:], list(weights.outputs)[1:], strict=True):
            anchor = self.vector("ADD", anchor, self.scale(corner, weight))
        own = Gaussians(
            self.attribute("gs_offset", "FLOAT_VECTOR"),
            self.attribute("gs_quat", "QUATERNION"),
            self.attribute("gs_scale", "FLOAT_VECTOR"),
        )
        if has_motion:
            own = yield from motion_nodes.moved(self, given, own)
        turned = self.node("FunctionNodeRotateVector")
        offset = self.scale(own.offset, stretch)
        position = self.vector("ADD", anchor, self.wire(turned, offset, rotation))
        quat = self.node("FunctionNodeRotateRotation", rotation_space="LOCAL")
        quat = self.wire(quat, rotation, own.quat)
        scales = self.scale(own.scale, stretch)

        geometry = self.node("GeometryNodeSetPosition")
        self.link(given.outputs["Geometry"], geometry.inputs["Geometry"])
        self.link(position, geometry.inputs["Position"])
        stored = self.store(geometry.outputs[0], "rotation", "QUATERNION", quat)
        stored = self.store(stored, "scale", "FLOAT_VECTOR", scales)
        if own.radiance is not None:
            stored = self.store(stored, RADIANCE, "FLOAT_COLOR", own.radiance)
        self.link(stored, result.inputs[0])

    def corner(self, k: int) -> bpy.types.NodeSocket:
        """On the faces: the position of the k-th corner's vertex."""
        corner = self.node("GeometryNodeCornersOfFace")
        corner.inputs["Sort Index"].default_value = k
        vertex = self.wire(self.node("GeometryNodeVertexOfCorner"), corner.outputs["Corner Index"])
        at = self.node("GeometryNodeFieldAtIndex", data_type="FLOAT_VECTOR", domain="POINT")
        self.link(vertex, at.inputs["Index"])
        self.link(self.node("GeometryNodeInputPosition").outputs[0], next(s for s in at.inputs if s.name == "Value"))
        return next(socket for socket in at.outputs if socket.enabled)

    def stretch(self, normal: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        """On the faces: root of area over rest area, limited; 1 where the triangle had no area at rest."""
        length = self.node("ShaderNodeVectorMath", operation="LENGTH")
        self.link(normal, length.inputs[0])
        area = self.math("MULTIPLY", length.outputs["Value"], 0.5)
        rest = self.attribute("gs_rest_area", "FLOAT")
        has_rest = self.math("GREATER_THAN", rest, 0.0)
        growth = self.math("ADD", self.math("DIVIDE", area, rest), self.math("SUBTRACT", 1.0, has_rest))
        limited = self.math("MINIMUM", self.math("MAXIMUM", growth, STRETCH[0] ** 2), STRETCH[1] ** 2)
        return self.math("SQRT", limited)

    def capture(
        self, mesh: bpy.types.NodeSocket, fields: tuple[bpy.types.NodeSocket, ...], rotation: bpy.types.NodeSocket
    ) -> tuple[bpy.types.NodeSocket, list[tuple[bpy.types.NodeSocket, str]]]:
        """Work the fields out on the faces, so that sampling them only looks them up; fields with their types."""
        kinds = ["FLOAT_VECTOR"] * 3 + ["FLOAT", "QUATERNION"]
        names = ("p0", "p1", "p2", "stretch", "frame")
        for name, kind, field in zip(names, kinds, (*fields, rotation), strict=True):
            mesh = self.store(mesh, f"gs_{name}", kind, field, "FACE")
        return mesh, [(self.attribute(f"gs_{name}", kind), kind) for name, kind in zip(names, kinds, strict=True)]

    def sample(self, mesh: bpy.types.NodeSocket, field: bpy.types.NodeSocket, data_type: str) -> bpy.types.NodeSocket:
        """On the points: a field of the face that the point is bound to."""
        node = self.node("GeometryNodeSampleIndex", data_type=data_type, domain="FACE")
        return self.wire(node, mesh, field, self.attribute("gs_triangle", "INT"))
