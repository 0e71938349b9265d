"""Heads to files: avatar files, and splat files for other programs."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from .. import api
from ..errors import AddonError
from ..paths import resolve
from ..tasks.errands import Errand
from .on_head import head_named


class GAUSSIAN_HEADS_OT_export_head(bpy.types.Operator, ExportHelper):
    """Write a head as an avatar file, or as it looks now as a splat file for other programs"""

    bl_idname = "gaussian_heads.export_head"
    bl_label = "Export Head"
    bl_options = {"REGISTER"}

    filepath: StringProperty(
        name="File",
        description="Ends in .npz (avatar), .ply (3D Gaussian Splatting) or .splat; the format says where it does not",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: StringProperty(default="*.npz;*.ply;*.splat", options={"HIDDEN", "SKIP_SAVE"})
    file_format: EnumProperty(
        name="Format",
        description="What is written; the name's ending follows",
        items=(
            (".npz", "Avatar (.npz)", "The whole head with its sliders and bones, to bring into Blender again"),
            (".ply", "3D Gaussian Splatting (.ply)", "The Gaussians as they look now, for other programs"),
            (".splat", "Splat (.splat)", "The same, smaller, for viewers in browsers"),
        ),
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
        self.layout.prop(self, "file_format", expand=True)

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = resolve(self.filepath)
        if not path.suffix:
            path = path.with_name(path.name + self.file_format)
        try:
            write = api.prepare_export(head_named(context, self.head), path)
            if self.options.is_invoke:
                Errand(
                    "Export", write, lambda _: f"Wrote {path.name}."
                )  # starting the engine takes seconds; scripts wait for it
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
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}


_register, _unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_OT_export_head,))


def _menu_export(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    self.layout.operator(GAUSSIAN_HEADS_OT_export_head.bl_idname, text="Gaussian Head (.npz, .ply, .splat)")


def register() -> None:
    _register()
    bpy.types.TOPBAR_MT_file_export.append(_menu_export)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_export.remove(_menu_export)
    _unregister()
