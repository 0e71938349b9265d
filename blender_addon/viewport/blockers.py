"""The depth buffer of a scene's own surfaces as its camera sees them, so that they hide Gaussians behind them."""

from __future__ import annotations

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Matrix

from .camera import View

SURFACES = ("MESH", "CURVE", "SURFACE", "META", "FONT")


def draw_blockers(view: View, depsgraph: bpy.types.Depsgraph) -> gpu.types.GPUTexture:
    """Draw what is rendered and has a surface, instances included, as it is in the viewport's resolution.

    Returns:
        Depth texture of the view's size. Materials are not looked at: glass hides as well.
    """
    depth = gpu.types.GPUTexture(view.size, format="DEPTH_COMPONENT32F")
    color = gpu.types.GPUTexture(view.size, format="RGBA8")  # nobody looks at it, but the program writes one
    buffer = gpu.types.GPUFrameBuffer(depth_slot=depth, color_slots=(color,))
    with buffer.bind():
        buffer.clear(color=(0.0, 0.0, 0.0, 0.0), depth=1.0)
        gpu.state.blend_set("NONE")
        gpu.state.depth_test_set("LESS_EQUAL")
        gpu.state.depth_mask_set(True)
        with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
            gpu.matrix.load_projection_matrix(view.window)
            for instance in depsgraph.object_instances:
                obj = instance.object
                own = obj.original
                # A mesh that only catches shadows for the splats on it must not hide them.
                if obj.type in SURFACES and instance.show_self and not (own.hide_render or own.is_shadow_catcher):
                    _draw(obj, view.view @ instance.matrix_world)
        gpu.state.depth_test_set("NONE")
        gpu.state.depth_mask_set(False)
    return depth


def _draw(obj: bpy.types.Object, to_view: Matrix) -> None:
    mesh = obj.to_mesh()
    if mesh is None:
        return
    mesh.calc_loop_triangles()
    if len(mesh.loop_triangles):
        positions = np.empty((len(mesh.vertices), 3), np.float32)
        mesh.vertices.foreach_get("co", positions.reshape(-1))
        triangles = np.empty((len(mesh.loop_triangles), 3), np.int32)
        mesh.loop_triangles.foreach_get("vertices", triangles.reshape(-1))
        program = gpu.shader.from_builtin("UNIFORM_COLOR")
        program.bind()
        program.uniform_float("color", (1.0, 1.0, 1.0, 1.0))
        gpu.matrix.load_matrix(to_view)
        batch_for_shader(program, "TRIS", {"pos": positions}, indices=triangles).draw(program)
    obj.to_mesh_clear()
