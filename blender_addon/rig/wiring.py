"""Adds nodes and links to a Geometry Nodes tree."""

from __future__ import annotations

import bpy


class Wiring:
    """Shorthands: a method makes a node, connects what it is given and returns the socket with the result."""

    def __init__(self, tree: bpy.types.GeometryNodeTree):
        self.tree = tree

    def node(self, kind: str, **settings: str) -> bpy.types.Node:
        node = self.tree.nodes.new(kind)
        for name, value in settings.items():
            setattr(node, name, value)
        return node

    def link(self, source: bpy.types.NodeSocket, target: bpy.types.NodeSocket) -> None:
        self.tree.links.new(source, target)

    def wire(self, node: bpy.types.Node, *sources) -> bpy.types.NodeSocket:
        """Connect sockets or constants to the node's enabled inputs, in order; its first enabled output."""
        for socket, source in zip([s for s in node.inputs if s.enabled], sources, strict=False):
            if isinstance(source, bpy.types.NodeSocket):
                self.link(source, socket)
            else:
                socket.default_value = source
        return next(socket for socket in node.outputs if socket.enabled)

    def attribute(self, name: str | bpy.types.NodeSocket, data_type: str) -> bpy.types.NodeSocket:
        return self.wire(self.node("GeometryNodeInputNamedAttribute", data_type=data_type), name)

    def vector(self, operation: str, *sources) -> bpy.types.NodeSocket:
        return self.wire(self.node("ShaderNodeVectorMath", operation=operation), *sources)

    def scale(self, vector: bpy.types.NodeSocket, factor: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
        node = self.node("ShaderNodeVectorMath", operation="SCALE")
        self.link(vector, node.inputs[0])
        self.link(factor, node.inputs["Scale"])
        return node.outputs[0]

    def math(self, operation: str, *sources) -> bpy.types.NodeSocket:
        return self.wire(self.node("ShaderNodeMath", operation=operation), *sources)

    def integer(self, operation: str, *sources) -> bpy.types.NodeSocket:
        return self.wire(self.node("FunctionNodeIntegerMath", operation=operation), *sources)

    def separate(self, vector: bpy.types.NodeSocket) -> tuple[bpy.types.NodeSocket, ...]:
        node = self.node("ShaderNodeSeparateXYZ")
        self.link(vector, node.inputs[0])
        return tuple(node.outputs)

    def combine(self, *parts) -> bpy.types.NodeSocket:
        return self.wire(self.node("ShaderNodeCombineXYZ"), *parts)

    def store(
        self,
        geometry: bpy.types.NodeSocket,
        name: str,
        data_type: str,
        value: bpy.types.NodeSocket,
        domain: str = "POINT",
    ) -> bpy.types.NodeSocket:
        node = self.node("GeometryNodeStoreNamedAttribute", data_type=data_type, domain=domain)
        node.inputs["Name"].default_value = name
        self.link(geometry, node.inputs["Geometry"])
        self.link(value, next(s for s in node.inputs if s.name == "Value" and s.enabled))
        return node.outputs[0]
