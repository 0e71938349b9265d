"""The render panel: heads as picture files, where Blender does not render Gaussians itself."""

import bpy

from ..compat import HAS_NATIVE_SPLATS
from ..operators import render
from ..text import draw_text


class GAUSSIAN_HEADS_PT_render(bpy.types.Panel):
    bl_idname = "GAUSSIAN_HEADS_PT_render"
    bl_label = "Render Splats"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Gaussian Heads"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 70

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        scene = context.scene
        if HAS_NATIVE_SPLATS:
            draw_text(layout, context, "This Blender renders heads by itself: use Render Image (F12).", "INFO")
        else:
            draw_text(layout, context, "Render Image (F12) shows no splats in this Blender; these buttons do.", "INFO")
        column = layout.column()
        column.prop(scene.render, "filepath", text="")
        column.prop(scene.gaussian_heads.render, "over_scene")
        column.prop(scene.gaussian_heads.render, "depth")
        effects = _blurs(scene)
        for effect in effects:
            column.label(text=effect, icon="CHECKMARK")
        if effects:
            column.prop(scene.gaussian_heads.render, "samples")
        if render.running is not None:
            done, total = render.running.done, render.running.total
            layout.progress(factor=done / total, type="BAR", text=f"{int(done)} of {total} frames, Esc to cancel")
            return
        row = layout.row(align=True)
        row.operator("gaussian_heads.render_splats", text="Image", icon="RENDER_STILL").animation = False
        row.operator("gaussian_heads.render_splats", text="Animation", icon="RENDER_ANIMATION").animation = True


def _blurs(scene: bpy.types.Scene) -> list[str]:
    """What blurs a frame, of the scene's and its camera's own settings."""
    found = []
    if scene.render.use_motion_blur:
        found.append(f"Motion blur, shutter {scene.render.motion_blur_shutter:.2g}")
    if scene.camera is not None and scene.camera.type == "CAMERA" and scene.camera.data.dof.use_dof:
        found.append(f"Depth of field, f/{scene.camera.data.dof.aperture_fstop:.2g}")
    return found


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_PT_render,))
