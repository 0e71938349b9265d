"""A new head can be seen: it does not come into another one, nor into the cube of a new file."""

import bpy
from mathutils import Vector


def places() -> list[Vector]:
    bpy.context.view_layer.update()
    return sorted(tuple(obj.matrix_world.translation) for obj in bpy.context.scene.objects if "gaussian_head" in obj)


def test_heads_come_side_by_side(addon, avatar_path):
    for _ in range(3):
        bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    (first, second, third) = places()
    assert first == (0, 0, 0)
    assert second[0] - first[0] > 0.5 and third[0] - second[0] > 0.5


def test_a_head_comes_beside_a_cube_but_into_a_room(addon, avatar_path):
    bpy.ops.mesh.primitive_cube_add(size=2.0)
    bpy.ops.mesh.primitive_cube_add(size=12.0)
    bpy.ops.gaussian_heads.import_head(filepath=str(avatar_path))
    ((x, y, z),) = places()
    assert 1.2 < x < 2.5 and (y, z) == (0, 0)
