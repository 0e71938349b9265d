"""The nodes that evaluate an eigenbasis: what docs/avatar-format.md calls "How it moves", step 3.

Coefficients come from the head mesh's coefficient vertices, see :mod:`.motion`, on a handful of points; then a repeat
zone sums them with the Gaussians' attributes ``gs_basis_…``, direction by direction. One tree serves every head.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import bpy

from ..compat import RADIANCE
from .motion import AXES, BASIS, JOINT_ROWS, LARGEST_LOG
from .points import SH_C0
from .wiring import Wiring

INPUTS = {
    "First": "The head mesh's first coefficient vertex",
    "Joints": "Joints that the motion may depend on",
    "Components": "Directions of the eigenbasis",
}


@dataclass(frozen=True)
class Gaussians:
    """Fields on the points: what a Gaussian is in its triangle's frame.

    Attributes:
        offset: vector, m. quat: rotation. scale: vector, m. radiance: color, as ``radiance:base``; None if it rests.
    """

    offset: bpy.types.NodeSocket
    quat: bpy.types.NodeSocket
    scale: bpy.types.NodeSocket
    radiance: bpy.types.NodeSocket | None = None


def moved(wiring: Wiring, given: bpy.types.Node, neutral: Gaussians) -> Generator[None, None, Gaussians]:
    """The Gaussians under the pose of the head, wired in pieces.

    Args:
        given: the tree's input node, with the sockets ``Head`` and :data:`INPUTS`.
    """
    return (yield from _Motion(wiring, given).apply(neutral))


class _Motion:
    """Wires the motion, one idea a method."""

    def __init__(self, wiring: Wiring, given: bpy.types.Node):
        self.w = wiring
        self.first, self.joints, self.components = (given.outputs[name] for name in INPUTS)
        # As it stands in its own object: coefficients do not change when the head is moved.
        info = wiring.node("GeometryNodeObjectInfo", transform_space="ORIGINAL")
        wiring.link(given.outputs["Head"], info.inputs["Object"])
        self.mesh = info.outputs["Geometry"]
        self.position = wiring.node("GeometryNodeInputPosition").outputs[0]

    def vertex(self, index: bpy.types.NodeSocket, shift: int = 0) -> bpy.types.NodeSocket:
        index = self.w.integer("ADD", index, shift) if shift else index
        node = self.w.node("GeometryNodeSampleIndex", data_type="FLOAT_VECTOR", domain="POINT")
        return self.w.wire(node, self.mesh, self.position, index)

    def turn(self, joint: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        """axis · sin(angle) of a joint relative to its parent, in the engine's axes.

        With u the joint's axes and p its parent's, Σ p × u is twice that in the mesh's axes; p takes it to the
        parent's.
        """
        w = self.w
        start = w.integer("MULTIPLY_ADD", joint, JOINT_ROWS, w.integer("ADD", self.first, AXES))
        frames = []
        for shift in (0, JOINT_ROWS // 2):
            origin = self.vertex(start, shift)
            ends = (self.vertex(start, shift + 1 + axis) for axis in range(3))
            frames.append([w.vector("NORMALIZE", w.vector("SUBTRACT", end, origin)) for end in ends])
        own, parent = frames
        crossed = [w.vector("CROSS_PRODUCT", p, u) for p, u in zip(parent, own, strict=True)]
        double = w.vector("ADD", w.vector("ADD", crossed[0], crossed[1]), crossed[2])
        return w.vector("MULTIPLY", w.combine(*(self.dot(p, double) for p in parent)), (0.5, 0.5, 0.5))

    def dot(self, a: bpy.types.NodeSocket, b: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        node = self.w.node("ShaderNodeVectorMath", operation="DOT_PRODUCT")
        self.w.wire(node, a, b)
        return node.outputs["Value"]

    def coefficients(self) -> bpy.types.NodeSocket:
        """Points of which the first K carry ``gs_coefficient``; one per direction for the keys and for every joint."""
        w = self.w
        count = w.integer("MULTIPLY_ADD", self.joints, self.components, self.components)
        points = w.wire(w.node("GeometryNodePoints"), count)
        index = w.node("GeometryNodeInputIndex").outputs[0]
        block, component = (w.integer(operation, index, self.components) for operation in ("DIVIDE_FLOOR", "MODULO"))
        turn = self.turn(w.integer("SUBTRACT", block, 1))
        is_keys = w.wire(w.node("FunctionNodeCompare", data_type="INT", operation="EQUAL"), block, 0)
        # The keys have summed up already, along x.
        feature = w.wire(w.node("GeometryNodeSwitch", input_type="VECTOR"), is_keys, turn, (1.0, 0.0, 0.0))

        origin = self.vertex(self.first)
        unit = w.separate(w.vector("SUBTRACT", self.vertex(self.first, 1), origin))[0]
        table = w.integer("MULTIPLY_ADD", self.joints, JOINT_ROWS, w.integer("ADD", self.first, AXES))
        gain = w.vector("SUBTRACT", self.vertex(w.integer("ADD", table, index)), origin)
        share = w.math("DIVIDE", self.dot(gain, feature), unit)
        summed = w.node("GeometryNodeAccumulateField", data_type="FLOAT", domain="POINT")
        w.wire(summed, share, component)
        return w.store(points, "gs_coefficient", "FLOAT", summed.outputs["Total"])

    def change(self, coefficients: bpy.types.NodeSocket) -> dict[str, bpy.types.NodeSocket]:
        """On the Gaussians: the sum of the directions, by the names of :data:`BASIS`."""
        w = self.w
        begin, end = w.node("GeometryNodeRepeatInput"), w.node("GeometryNodeRepeatOutput")
        begin.pair_with_output(end)
        end.repeat_items.clear()
        for name, (_, data_type) in BASIS.items():
            end.repeat_items.new("VECTOR" if data_type == "FLOAT_VECTOR" else "FLOAT", name)
        w.link(self.components, begin.inputs["Iterations"])
        number = begin.outputs["Iteration"]
        value = self.w.attribute("gs_coefficient", "FLOAT")
        sample = w.node("GeometryNodeSampleIndex", data_type="FLOAT", domain="POINT")
        coefficient = w.wire(sample, coefficients, value, number)
        digits = w.wire(w.node("FunctionNodeValueToString", data_type="INT"), number)
        for name, (_, data_type) in BASIS.items():
            named = w.wire(w.node("FunctionNodeReplaceString"), f"gs_basis_{name}_#", "#", digits)
            combine = w.vector if data_type == "FLOAT_VECTOR" else w.math
            summed = combine("MULTIPLY_ADD", w.attribute(named, data_type), coefficient, begin.outputs[name])
            w.link(summed, end.inputs[name])
        return {name: end.outputs[name] for name in BASIS}

    def apply(self, neutral: Gaussians) -> Generator[None, None, Gaussians]:
        coefficients = self.coefficients()
        yield
        change = self.change(coefficients)
        yield
        offset = self.w.vector("ADD", neutral.offset, change["offset"])
        quat = self.quat(neutral.quat, change["w"], change["quat"])
        scale = self.grown(neutral.scale, change["scale"])
        yield
        return Gaussians(offset, quat, scale, self.radiance(change["opacity"], change["color"]))

    def quat(self, quat, w_change, xyz_change) -> bpy.types.NodeSocket:
        w = self.w
        before = w.node("FunctionNodeRotationToQuaternion")
        w.wire(before, quat)
        sums = [w.math("ADD", *pair) for pair in zip(before.outputs, (w_change, *w.separate(xyz_change)), strict=True)]
        return w.wire(w.node("FunctionNodeQuaternionToRotation"), *sums)  # brings them to length 1

    def grown(self, scale, change) -> bpy.types.NodeSocket:
        factors = (self.exp(part) for part in self.w.separate(change))
        return self.w.vector("MULTIPLY", scale, self.w.combine(*factors))

    def exp(self, logarithm: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        w = self.w
        return w.math("EXPONENT", w.math("MINIMUM", w.math("MAXIMUM", logarithm, -LARGEST_LOG), LARGEST_LOG))

    def radiance(self, opacity_change, color_change) -> bpy.types.NodeSocket:
        w = self.w
        before = w.node("FunctionNodeSeparateColor")
        w.wire(before, w.attribute(RADIANCE, "FLOAT_COLOR"))
        *channels, opacity = before.outputs
        color = w.combine(*channels)
        edge = 0.5 / SH_C0  # radiance of the colours 0 and 1, which changes do not leave any further
        low, high = w.vector("MINIMUM", color, (-edge,) * 3), w.vector("MAXIMUM", color, (edge,) * 3)
        color = w.vector("ADD", color, color_change)
        color = w.vector("MINIMUM", w.vector("MAXIMUM", color, low), high)

        odds = self.exp(opacity_change)
        whole = w.math("MULTIPLY_ADD", opacity, w.math("SUBTRACT", odds, 1.0), 1.0)
        opacity = w.math("DIVIDE", w.math("MULTIPLY", opacity, odds), whole)
        return w.wire(w.node("FunctionNodeCombineColor"), *w.separate(color), opacity)
