"""Heads to files: avatar files, and what other programs read."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from .. import api, formats
from ..engine_client.engine import ENGINE
from ..errors import AddonError
from ..paths import resolve
from ..tasks.errands import Errand
from .on_head import head_named


def _wrote(path: Path) -> Generator[None, None, str]:
    yield
    return f"Wrote {path.name}."


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
                Errand("Export", write, lambda _: _wrote(path))  # the engine takes seconds; scripts wait for it
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


_register, _unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_OT_export_head,))


def _menu_export(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    self.layout.operator(GAUSSIAN_HEADS_OT_export_head.bl_idname, text="Gaussian Head (.npz, .glb, .usdz, .ply, …)")


def register() -> None:
    _register()
    bpy.types.TOPBAR_MT_file_export.append(_menu_export)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_export.remove(_menu_export)
    _unregister()
