"""Heads from and to files: avatar files both ways, and what other programs read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from .. import api, formats
from ..engine_client.engine import ENGINE
from ..errors import AddonError
from ..paths import resolve
from ..tasks.arrival import arrive
from .on_head import head_named

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


def _formats(self: bpy.types.Operator | None, context: bpy.types.Context | None) -> list[tuple[str, str, str]]:
    """What can be written, by the engine that runs."""
    return formats.menu_items(formats.known(ENGINE.health))


class GAUSSIAN_HEADS_OT_export_head(bpy.types.Operator, ExportHelper):
    """Write a head as an avatar file, or for other programs as it looks now"""

    bl_idname = "gaussian_heads.export_head"
    bl_label = "Export Head"
    bl_options = {"REGISTER"}

    filepath: StringProperty(
        name="File",
        description="Its ending says what is written; the format does where it has none",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    file_format: EnumProperty(
        name="Format",
        description="What is written; the name's ending follows",
        items=_formats,
        default=0,
        options={"SKIP_SAVE"},
    )
    head: StringProperty(
        name="Head", description="Name of the head; the active one if left empty", options={"SKIP_SAVE", "HIDDEN"}
    )

    @property
    def filename_ext(self) -> str:
        """For ExportHelper, which lets the name in the dialog follow the format."""
        return self.file_format

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.prop(self, "file_format")

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = resolve(self.filepath)
        if not path.suffix:
            path = path.with_name(path.name + self.file_format)
        try:
            write = api.prepare_export(head_named(context, self.head), path)
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
        try:
            name = head_named(context, self.head).name
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if not self.filepath:
            self.filepath = bpy.path.clean_name(name) + self.file_format
        self.filter_glob = formats.glob(formats.known(ENGINE.health))
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
    self.layout.operator(GAUSSIAN_HEADS_OT_export_head.bl_idname, text="Gaussian Head (.npz, .glb, .usdz, .ply, …)")


def register() -> None:
    _register()
    bpy.types.TOPBAR_MT_file_import.append(_menu_import)
    bpy.types.TOPBAR_MT_file_export.append(_menu_export)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_import.remove(_menu_import)
    bpy.types.TOPBAR_MT_file_export.remove(_menu_export)
    _unregister()
