"""Heads from files: avatar files at once, other programs' by way of the engine; and splats that become a head."""

from __future__ import annotations

from collections.abc import Generator

import bpy
from bpy.props import StringProperty

from .. import api
from ..errors import AddonError
from ..formats import AVATAR, IMPORTED
from ..paths import resolve
from ..rig.avatar_file import AvatarFile
from ..rig.build import build, build_steps, finished
from ..rig.heads import Head
from ..tasks.arrival import arrive
from ..tasks.errands import Errand
from .on_head import OnHead


class GAUSSIAN_HEADS_OT_import_head(bpy.types.Operator):
    """Bring a head into the scene: an avatar file, Gaussian splats of any trainer, or a LAM avatar"""

    bl_idname = "gaussian_heads.import_head"
    bl_label = "Import Head"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="File",
        description="An avatar (.npz), splats (.ply, .splat, .spz, .glb) or a LAM avatar (.zip)",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: StringProperty(default=";".join(f"*{ending}" for ending in IMPORTED), options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = resolve(self.filepath)
        try:
            read = api.prepare_import(path)
            if self.options.is_invoke and path.suffix.lower() != AVATAR:
                Errand(self.bl_label, read, lambda avatar: _bring(avatar, self.bl_label))
                self.report({"INFO"}, f"{path.name} is being read.")
                return {"FINISHED"}
            text = _arrived(build(read(), context))
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, text)
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
    bl_file_extensions = ";".join(IMPORTED)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


class GAUSSIAN_HEADS_OT_bind_head(OnHead, bpy.types.Operator):
    """Lay a head under imported splats, so that sliders and bones move them; takes some seconds"""

    bl_idname = "gaussian_heads.bind_head"
    bl_label = "Bind to Head"

    def run(self, context: bpy.types.Context, head: Head) -> str:
        read, replace = api.prepare_bind(head)
        if self.options.is_invoke:
            Errand(self.bl_label, read, lambda avatar: _replaced(replace(avatar), self.bl_label))
            return f"{head.name} is being bound."
        return f"{finished(replace(read())).name} moves now."


def _bring(avatar: AvatarFile, message: str) -> Generator[None, None, str]:
    text = _arrived((yield from build_steps(avatar, bpy.context)))
    bpy.ops.ed.undo_push(message=message)
    return text


def _arrived(head: Head) -> str:
    arrive(head, bpy.context.scene)
    notes = api.notes_of(head)
    return " ".join((f"{head.name}: {len(head.splats.data.points)} Gaussians, {len(head.keys)} shape keys.", *notes))


def _replaced(steps: Generator[None, None, Head], message: str) -> Generator[None, None, str]:
    head = yield from steps
    bpy.ops.ed.undo_push(message=message)
    return " ".join((f"{head.name} moves now.", *api.notes_of(head)))


_register, _unregister = bpy.utils.register_classes_factory(
    (GAUSSIAN_HEADS_OT_import_head, GAUSSIAN_HEADS_FH_avatar, GAUSSIAN_HEADS_OT_bind_head)
)


def _menu_import(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    text = f"Gaussian Head ({', '.join(IMPORTED)})"
    self.layout.operator(GAUSSIAN_HEADS_OT_import_head.bl_idname, text=text)


def register() -> None:
    _register()
    bpy.types.TOPBAR_MT_file_import.append(_menu_import)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_import.remove(_menu_import)
    _unregister()
