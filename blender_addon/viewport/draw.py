"""Draws the heads of a scene into every 3D View that shows them."""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent
from mathutils import Matrix

from ..rig.heads import find_head
from . import shader
from .bones import draw_bones
from .camera import View
from .changes import CHANGES
from .preview import PREVIEW
from .splats import Splats, Target


class Drawing:
    """Everything that drawing keeps on the GPU.

    Attributes:
        problem: what keeps a head from being drawn, for the panel; empty if nothing.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._splats: dict[tuple[int, str], Splats] = {}
        self._targets: dict[int, Target] = {}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw into the region that Blender is drawing."""
        scene, region = context.scene, context.region
        settings = scene.gaussian_heads.viewport
        if not (settings.show_splats or settings.engine_preview):
            self.clear()
            return
        objects = [obj for obj in CHANGES.splats(scene) if obj.visible_get(view_layer=context.view_layer)]
        if not objects:
            self.clear()
            return
        depsgraph = context.evaluated_depsgraph_get()
        here = [obj for obj in objects if obj.visible_get(view_layer=context.view_layer, viewport=context.space_data)]
        matrices = {obj.session_uid: obj.evaluated_get(depsgraph).matrix_world.copy() for obj in here}
        seen = View(
            context.region_data.view_matrix.copy(),
            context.region_data.window_matrix.copy(),
            (region.width, region.height),
        )

        backdrop = context.preferences.themes[0].view_3d.space.gradients.high_gradient
        frame = PREVIEW.frame(context, seen, here) if settings.engine_preview else None
        if frame is not None:
            matrices.pop(frame.uid)
        if matrices and settings.show_splats:
            target = self._draw_splats(context, objects, matrices, seen)
            behind = settings.occlude and shader.can_occlude()
            shader.blit(target.color, backdrop, target.depth if behind else None, seen.window)
        if frame is not None:
            shader.blit(frame.texture, backdrop)
        rig = context.active_object
        overlay = context.space_data.overlay
        if context.mode == "POSE" and overlay.show_overlays and overlay.show_bones and find_head(rig):
            draw_bones(context, rig)

    def _draw_splats(
        self,
        context: bpy.types.Context,
        objects: list[bpy.types.Object],
        matrices: dict[int, Matrix],
        seen: View,
    ) -> Target:
        layer = context.scene.session_uid, context.view_layer.name
        splats = self._splats.get(layer)
        if splats is None:
            splats = self._splats[layer] = Splats()
        splats.update(objects, context.evaluated_depsgraph_get())
        self.problem = splats.problem
        key = context.region.as_pointer()
        target = self._targets.get(key)
        if target is None or target.size != seen.size:
            self._forget_closed(context)
            target = self._targets[key] = Target(seen.size)
        target.draw(splats, matrices, seen.view, seen.window)
        return target

    def _forget_closed(self, context: bpy.types.Context) -> None:
        """Free what belongs to viewports that are gone."""
        windows = context.window_manager.windows
        alive = {region.as_pointer() for w in windows for area in w.screen.areas for region in area.regions}
        self._targets = {key: target for key, target in self._targets.items() if key in alive}

    def drawn(self) -> int:
        """How often Gaussians were drawn since the viewports opened."""
        return sum(target.drawn for target in self._targets.values())

    def clear(self) -> None:
        """Give the GPU's memory back."""
        self.problem = ""
        self._splats.clear()
        self._targets.clear()


DRAWING = Drawing()
_handle: object | None = None


def _draw() -> None:
    DRAWING.draw(bpy.context)


@persistent
def _loaded(*_) -> None:
    DRAWING.clear()


def register() -> None:
    global _handle
    _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")
    bpy.app.handlers.load_post.append(_loaded)


def unregister() -> None:
    bpy.app.handlers.load_post.remove(_loaded)
    bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
    DRAWING.clear()
    shader.free()
