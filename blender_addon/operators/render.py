"""Render Splats: the heads as picture files, where Blender does not render Gaussians itself."""

from __future__ import annotations

import functools
from collections.abc import Generator

import bpy

from ..errors import AddonError
from ..tasks.redraw import redraw_sidebars
from ..viewport.render import Progress, RenderOptions, render_splats, result_image

TICK = 0.01  # s between two frames, for Blender's own events
running: Progress | None = None  # for the panel


class GAUSSIAN_HEADS_OT_render_splats(bpy.types.Operator):
    bl_idname = "gaussian_heads.render_splats"
    bl_label = "Render Splats"
    bl_description = (
        "Render the heads through the scene's camera to the output path, in the scene's resolution, file format and "
        "render region, with its motion blur and depth of field. Camera icons say which heads"
    )

    filepath: bpy.props.StringProperty(
        name="File",
        description="Where to write, as in the Output properties; empty for the scene's own output path",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    animation: bpy.props.BoolProperty(
        name="Animation", description="Render a range of frames instead of the present one", options={"SKIP_SAVE"}
    )
    frame_start: bpy.props.IntProperty(
        name="Start", description="First frame of the animation; the scene's where not given", options={"SKIP_SAVE"}
    )
    frame_end: bpy.props.IntProperty(
        name="End", description="Last frame of the animation; the scene's where not given", options={"SKIP_SAVE"}
    )
    width: bpy.props.IntProperty(
        name="Width", description="Pixels; 0 for the scene's resolution", min=0, max=65536, options={"SKIP_SAVE"}
    )
    height: bpy.props.IntProperty(
        name="Height", description="Pixels; 0 for the scene's resolution", min=0, max=65536, options={"SKIP_SAVE"}
    )
    over_scene: bpy.props.BoolProperty(
        name="Over Scene",
        description="Lay the splats over the scene's own render; its surfaces hide what is behind them. The panel's "
        "choice where not given",
        options={"SKIP_SAVE"},
    )
    depth: bpy.props.BoolProperty(
        name="Depth",
        description="Also write the distance along the view in metres as OpenEXR, 1e10 where the splats cover less "
        "than half of a pixel. The panel's choice where not given",
        options={"SKIP_SAVE"},
    )

    samples: bpy.props.IntProperty(
        name="Samples",
        description="How often a frame is drawn for motion blur and depth of field. The panel's number where not given",
        min=2,
        max=1024,
        default=16,
        options={"SKIP_SAVE"},
    )

    _steps: Generator[Progress, None, None]
    _timer: bpy.types.Timer
    _progress: Progress

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        cls.poll_message_set("Splats are being rendered.")
        return running is None

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._steps = render_splats(context, self._options(context))
        try:
            self._show(context, next(self._steps))
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        manager = context.window_manager
        self._timer = manager.event_timer_add(TICK, window=context.window)
        manager.progress_begin(0, self._progress.total)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC":
            self._end(context)
            self.report(
                {"WARNING"}, f"Cancelled; {int(self._progress.done)} of {self._progress.total} frames are written."
            )
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}
        try:
            self._show(context, next(self._steps))
        except StopIteration:
            self._end(context)
            self._say_done()
            image = self._result_image()
            # A window that opens while an operator still holds the events leaves the first one deaf to clicks.
            bpy.app.timers.register(functools.partial(_open_image, image.name, context.window), first_interval=0.0)
            return {"FINISHED"}
        except AddonError as error:
            self._end(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        except BaseException:
            self._end(context)
            raise
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            for progress in render_splats(context, self._options(context)):
                self._progress = progress
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self._result_image()
        self._say_done()
        return {"FINISHED"}

    def cancel(self, context: bpy.types.Context) -> None:
        self._end(context)

    def _options(self, context: bpy.types.Context) -> RenderOptions:
        scene, given = context.scene, self.properties.is_property_set
        settings = scene.gaussian_heads.render
        start = self.frame_start if given("frame_start") else scene.frame_start
        end = self.frame_end if given("frame_end") else scene.frame_end
        return RenderOptions(
            filepath=self.filepath or scene.render.filepath,
            frames=range(start, end + 1, scene.frame_step) if self.animation else None,
            width=self.width,
            height=self.height,
            over_scene=self.over_scene if given("over_scene") else settings.over_scene,
            depth=self.depth if given("depth") else settings.depth,
            samples=self.samples if given("samples") else settings.samples,
        )

    def _result_image(self) -> bpy.types.Image:
        assert self._progress.path is not None  # there is at least one frame
        return result_image(self._progress.path)

    def _show(self, context: bpy.types.Context, progress: Progress) -> None:
        global running
        running = self._progress = progress
        context.window_manager.progress_update(progress.done)
        context.workspace.status_text_set(
            f"Rendering splats: {int(progress.done)} of {progress.total} frames done. Esc to cancel."
        )
        redraw_sidebars()

    def _end(self, context: bpy.types.Context) -> None:
        global running
        running = None
        self._steps.close()
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        context.workspace.status_text_set(None)
        redraw_sidebars()

    def _say_done(self) -> None:
        for note in self._progress.notes:
            self.report({"WARNING"}, f"Left out: {note}")
        count = self._progress.total
        self.report({"INFO"}, f"{count} frames are written." if count != 1 else "The picture is written.")


def _open_image(name: str, window: bpy.types.Window) -> None:
    """Show an image in an Image Editor; where there is none, in a window of its own, unless the artist wants none."""
    manager, image = bpy.context.window_manager, bpy.data.images.get(name)
    if image is None:  # undone, or another file was opened
        return
    areas = [area for window in manager.windows for area in window.screen.areas]
    editors = [area for area in areas if area.ui_type == "IMAGE_EDITOR"]
    if not editors:
        if bpy.context.preferences.view.render_display_type == "NONE":
            return
        with bpy.context.temp_override(window=window if window in list(manager.windows) else manager.windows[0]):
            bpy.ops.wm.window_new()
        editors = [max(manager.windows[-1].screen.areas, key=lambda area: area.width * area.height)]
        editors[0].ui_type = "IMAGE_EDITOR"
    editors[0].spaces.active.image = image


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_OT_render_splats,))
