"""Attributes of point clouds and meshes as numpy arrays."""

from __future__ import annotations

import bpy
import numpy as np

SH_C0 = 0.28209479177387814  # spherical harmonics of degree 0: radiance is (color - 0.5) / SH_C0
# attribute data_type -> (foreach property, dtype, components)
LAYOUT = {
    "FLOAT": ("value", np.float32, 1),
    "INT": ("value", np.int32, 1),
    "BOOLEAN": ("value", np.bool_, 1),
    "FLOAT_VECTOR": ("vector", np.float32, 3),
    "FLOAT_COLOR": ("color", np.float32, 4),
    "FLOAT4": ("vector", np.float32, 4),  # since Blender 5.3
    "QUATERNION": ("value", np.float32, 4),  # w, x, y, z
}


def write_attribute(
    geometry: bpy.types.PointCloud | bpy.types.Mesh,
    name: str,
    data_type: str,
    values: np.ndarray,
    domain: str = "POINT",
) -> None:
    """Create or overwrite an attribute.

    Args:
        data_type: a key of :data:`LAYOUT`.
        values: one row per element of the domain, of any numeric dtype.
    """
    prop, dtype, components = LAYOUT[data_type]
    attribute = geometry.attributes.get(name) or geometry.attributes.new(name, data_type, domain)
    flat = np.ascontiguousarray(values, dtype).reshape(-1)
    if flat.size != len(attribute.data) * components:
        raise ValueError(f"{name}: {flat.size} values for {len(attribute.data)} elements of {components}")
    attribute.data.foreach_set(prop, flat)


def read_attribute(geometry: bpy.types.PointCloud | bpy.types.Mesh, name: str) -> np.ndarray:
    """An attribute as [N, components] array, or [N] where it has one component; also of evaluated data.

    Raises:
        KeyError: there is no such attribute.
    """
    attribute = geometry.attributes[name]
    prop, dtype, components = LAYOUT[attribute.data_type]
    values = np.empty(len(attribute.data) * components, dtype)
    attribute.data.foreach_get(prop, values)
    return values.reshape(-1, components) if components > 1 else values
