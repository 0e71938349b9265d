"""Draws the heads of a scene into every 3D View that shows them."""

from __future__ import annotations

import traceback

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..compat import can_write_depth
from ..rig.heads import find_head
from . import shader
from .bones import draw_bones
from .camera import View
from .placed import Place, placed
from .preview import PREVIEW
from .splats import Splats, Target

OUTLINE = 1.5  # px, the width of lines around what is selected


class Drawing:
    """Everything that drawing keeps on the GPU.

    Attributes:
        problem: what keeps a head from being drawn, for the panel; empty if nothing.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._splats: dict[tuple[int, str], Splats] = {}
        self._targets: dict[tuple[int, str], Target] = {}

    def draw(self, context: bpy.types.Context) -> None:
        """Draw into the region that Blender is drawing."""
        scene, region = context.scene, context.region
        settings = scene.gaussian_heads.viewport
        if not (settings.show_splats or settings.engine_preview):
            self.clear()
            return
        depsgraph = context.evaluated_depsgraph_get()
        every = placed(scene, depsgraph, lambda obj: obj.visible_get(view_layer=context.view_layer))
        if not every:
            self.clear()
            return
        layer, view = context.view_layer, context.space_data
        here = [place for place in every if place.shown_by.visible_get(view_layer=layer, viewport=view)]
        seen = View(
            context.region_data.view_matrix.copy(),
            context.region_data.window_matrix.copy(),
            (region.width, region.height),
        )

        backdrop = context.preferences.themes[0].view_3d.space.gradients.high_gradient
        previewed = PREVIEW.texture(context, seen, [place.obj for place in here]) if settings.engine_preview else None
        own = [place for place in here if previewed is None or place.uid != previewed.uid]
        behind = settings.occlude and can_write_depth()
        if settings.show_splats and own:
            target = self._drawn_splats(context, every, own, seen)
            shader.blit(target.color, backdrop, target.depth if behind else None, seen.window)
        if previewed is not None:
            shown = [place for place in here if place.uid == previewed.uid]
            depths = self._drawn_splats(context, every, shown, seen, "depths").depth if behind else None
            shader.blit(previewed.texture, backdrop, depths, seen.window)
        overlay = context.space_data.overlay
        outlined = overlay.show_overlays and overlay.show_outline_selected and context.mode == "OBJECT"
        if settings.show_splats and outlined:
            self._outline(context, every, here, seen)
        rig = context.active_object
        if context.mode == "POSE" and overlay.show_overlays and overlay.show_bones and find_head(rig):
            draw_bones(context, rig)

    def _drawn_splats(
        self, context: bpy.types.Context, every: list[Place], shown: list[Place], seen: View, what: str = "picture"
    ) -> Target:
        layer = context.scene.session_uid, context.view_layer.name
        splats = self._splats.get(layer)
        if splats is None:
            splats = self._splats[layer] = Splats()
        splats.update(every)
        self.problem = splats.problem
        key = context.region.as_pointer(), what
        target = self._targets.get(key)
        if target is None or target.size != seen.size:
            self._forget_closed(context)
            target = self._targets[key] = Target(seen.size)
        target.draw(splats, shown, seen.view, seen.window)
        return target

    def _outline(self, context: bpy.types.Context, every: list[Place], here: list[Place], seen: View) -> None:
        """Draw lines around selected heads, the active one in its own colour."""
        theme, layer = context.preferences.themes[0].view_3d, context.view_layer
        active = find_head(layer.objects.active)
        selected = [place for place in here if place.obj.select_get(view_layer=layer)]
        width = context.preferences.system.ui_scale * OUTLINE
        for what, color in (("selected", theme.object_selected), ("active", theme.object_active)):
            is_active = what == "active"
            places = [p for p in selected if (active is not None and p.obj == active.splats) == is_active]
            if places:
                # What is shown anyway is not drawn again.
                target = self._drawn_splats(context, every, places, seen, "picture" if places == here else what)
                shader.outline(target.color, color, width)

    def _forget_closed(self, context: bpy.types.Context) -> None:
        """Free what belongs to viewports that are gone."""
        windows = context.window_manager.windows
        alive = {region.as_pointer() for w in windows for area in w.screen.areas for region in area.regions}
        self._targets = {key: target for key, target in self._targets.items() if key[0] in alive}

    @property
    def is_drawing(self) -> bool:
        """Whether any viewport shows Gaussians that are drawn here."""
        return bool(self._targets)

    def pixel(self, context: bpy.types.Context, x: int, y: int) -> tuple[float, float]:
        """Alpha and metres along the view at a pixel of the context's viewport, from its lower left corner."""
        target = self._targets.get((context.region.as_pointer(), "picture"))
        return target.pixel(x, y) if target is not None else (0.0, np.inf)

    def positions(self, context: bpy.types.Context) -> dict[int, np.ndarray]:
        """[N, 3] of each drawn point cloud in its own space, by ``session_uid``."""
        splats = self._splats.get((context.scene.session_uid, context.view_layer.name))
        return {part.uid: splats.positions[part.rows] for part in splats.parts} if splats is not None else {}

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
    try:
        DRAWING.draw(bpy.context)
    except Exception as error:  # once, in the panel and the console, not at every redraw
        text = f"The heads cannot be drawn ({type(error).__name__}: {error})."
        if text != DRAWING.problem:
            DRAWING.problem = text
            traceback.print_exc()


@persistent
def _loaded(*_) -> None:
    DRAWING.clear()


def register() -> None:
    global _handle
    _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")
    bpy.app.handlers.load_post.append(_loaded)


def unregister() -> None:
    PREVIEW.stop()
    bpy.app.handlers.load_post.remove(_loaded)
    bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
    DRAWING.clear()
    shader.free()
