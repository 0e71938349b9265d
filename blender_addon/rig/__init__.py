"""The head as plain Blender data: mesh with shape keys, armature, and a point cloud bound by Geometry Nodes."""
