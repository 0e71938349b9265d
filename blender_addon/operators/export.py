"""Heads from and to files: avatar files both ways, splat files for other programs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty

from .. import api
from ..errors import AddonError
from ..paths import resolve
from ..rig.heads import require_head
from ..tasks.arrival import arrive

POLL_SECONDS = 0.1


class GAUSSIAN_HEADS_OT_import_head(bpy.types.Operator):
    """Bring an avatar file into the scene as a rigged head"""

    bl_idname = "gaussian_heads.import_head"
    bl_label = "Import Head"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="File", description="The avatar file (.npz)", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            head = api.import_head(self.filepath)
            arrive(head, context.scene)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{head.name}: {len(head.splats.data.points)} Gaussians, {len(head.keys)} shape keys.")
        return {"FINISHED"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.filepath:  # dropped into the 3D View
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}


class GAUSSIAN_HEADS_FH_avatar(bpy.types.FileHandler):
    bl_idname = "GAUSSIAN_HEADS_FH_avatar"
    bl_label = "Gaussian Head"
    bl_import_operator = "gaussian_heads.import_head"
    bl_file_extensions = ".npz"

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


class GAUSSIAN_HEADS_OT_export_head(bpy.types.Operator):
    """Write the active head as an avatar file, or as it looks now as a splat file for other programs"""

    bl_idname = "gaussian_heads.export_head"
    bl_label = "Export Head"
    bl_options = {"REGISTER"}

    filepath: StringProperty(
        name="File",
        description="Ends in .npz (avatar), .ply (3D Gaussian Splatting) or .splat",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    check_existing: BoolProperty(
        name="Check Existing", description="Warn before another file is replaced", default=True, options={"HIDDEN"}
    )
    filter_glob: StringProperty(default="*.npz;*.ply;*.splat", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        cls.poll_message_set("Select a head first.")
        return api.active_head(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = resolve(self.filepath)
        try:
            write = api.prepare_export(require_head(context), path)
            if self.options.is_invoke:
                _Writing(write, path)  # starting the engine takes seconds; scripts wait for it
                return {"FINISHED"}
            write()
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Wrote {path.name}.")
        return {"FINISHED"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.filepath:
            self.filepath = bpy.path.clean_name(require_head(context).name) + ".npz"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}


class _Writing:
    """An export in a thread of its own, whose end is told in the status bar."""

    running: list[_Writing] = []

    def __init__(self, write: Callable[[], None], path: Path):
        self._path = path
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, args=(write,), name="gaussian-heads-export")
        self._thread.start()
        self.running.append(self)
        bpy.app.timers.register(self._poll, first_interval=POLL_SECONDS, persistent=True)

    def _work(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # a thread has nobody else to tell it to
            self._error = error

    def _poll(self) -> float | None:
        if self._thread.is_alive():
            return POLL_SECONDS
        self.running.remove(self)
        say = {"title": "Export failed", "icon": "ERROR"} if self._error else {"title": "Export", "icon": "CHECKMARK"}
        text = str(self._error or f"Wrote {self._path.name}.")
        bpy.context.window_manager.popup_menu(lambda menu, _: menu.layout.label(text=text), **say)
        return None


CLASSES = (GAUSSIAN_HEADS_OT_import_head, GAUSSIAN_HEADS_FH_avatar, GAUSSIAN_HEADS_OT_export_head)
_register, _unregister = bpy.utils.register_classes_factory(CLASSES)


def _menu_import(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    self.layout.operator(GAUSSIAN_HEADS_OT_import_head.bl_idname, text="Gaussian Head (.npz)")


def _menu_export(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    self.layout.operator(GAUSSIAN_HEADS_OT_export_head.bl_idname, text="Gaussian Head (.npz, .ply, .splat)")


def register() -> None:
    _register()
    bpy.types.TOPBAR_MT_file_import.append(_menu_import)
    bpy.types.TOPBAR_MT_file_export.append(_menu_export)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_import.remove(_menu_import)
    bpy.types.TOPBAR_MT_file_export.remove(_menu_export)
    _unregister()
