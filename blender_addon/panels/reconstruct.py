"""The reconstruct panel: how, go, how far, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import bpy

from ..engine_client.engine import ENGINE
from ..engine_client.jobs import JobSnapshot
from ..errors import AddonError
from ..paths import ending_of
from ..properties import QUALITY_NAMES, Photo, ReconstructSettings
from ..systems import DEFAULT_HEAD, offered, require_head, weights_in
from ..tasks import reconstruction
from ..tasks.photo_files import CLIP_ENDINGS
from ..tasks.reconstruction import Reconstruction
from ..text import draw_text
from .waiting import draw_job, time_left


class GAUSSIAN_HEADS_PT_reconstruct(bpy.types.Panel):
    bl_idname = "GAUSSIAN_HEADS_PT_reconstruct"
    bl_label = "Reconstruct"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Gaussian Heads"
    bl_order = 20

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        running = reconstruction.current()
        is_running = running is not None and running.is_running
        settings = context.scene.gaussian_heads.reconstruct
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.enabled = not is_running
        own = any(each.system == settings.system for each in weights_in(ENGINE.status.health))
        for name in ("head_name", "system", "weights", "head_model", "quality", "refine_seconds", "frames"):
            if name != "weights" or own or settings.weights:
                column.prop(settings, name)
        if running is not None and is_running:
            _draw_progress(layout, context, running)
        else:
            wrong = obstacle(settings, ENGINE.status.health)
            if wrong:
                draw_text(layout, context, wrong, "ERROR")
            row = layout.row()
            row.scale_y = 1.4
            photos = context.scene.gaussian_heads.photos.items
            row.enabled = bool(photos) and not wrong
            # A click never waits, whatever context it comes from.
            row.operator_context = "INVOKE_DEFAULT"
            row.operator("gaussian_heads.reconstruct", icon="USER")
            typical = "" if wrong else expected_time(settings, photos, ENGINE.status.health)
            if typical:
                layout.label(text=typical, icon="TIME")
        if running is not None:
            _draw_outcome(layout, context, running)


def obstacle(settings: ReconstructSettings, health: Mapping[str, Any] | None) -> str:
    """Why these settings cannot be reconstructed with; empty where nothing is known against them.

    Args:
        health: what the engine that runs says of itself; None where none runs. Another one may have other systems.
    """
    try:
        head = DEFAULT_HEAD if settings.head_model == "MAKEHUMAN" else settings.head_model
        require_head(settings.system, head, health, settings.weights)
    except AddonError as error:
        return str(error)
    names = [system.name for system in offered(health)]
    if names and settings.system not in names:
        return (
            f"This engine does not have the system {settings.system}. Choose {' or '.join(names)}, or use the engine "
            "that belongs to this extension."
        )
    return ""


def expected_time(settings: ReconstructSettings, items: Sequence[Photo], health: Mapping[str, Any] | None) -> str:
    """How long the engine would take for these photos; empty where it does not say."""
    table = (health or {}).get("typical_seconds")
    try:
        one, more, clip = table[settings.system][QUALITY_NAMES[settings.quality]]  # type: ignore[index]
        clips = sum(item.image is None and ending_of(item.path) in CLIP_ENDINGS for item in items)
        photos = len(items) - clips
        seconds = one + (photos - 1) * more + clips * clip if items else 0.0  # a clip's first frame is a photo less
        return f"Takes {time_left(seconds).removesuffix(' left')}" if seconds > 0 else ""
    except (KeyError, TypeError, ValueError):  # another engine's words
        return ""


def _draw_progress(layout: bpy.types.UILayout, context: bpy.types.Context, running: Reconstruction) -> None:
    snapshot = running.job.snapshot()
    if snapshot.state == "done":
        draw_text(layout, context, running.holding or "Building the head.", "TIME")
    else:
        draw_job(layout, context, snapshot)
    layout.operator("gaussian_heads.cancel_reconstruct", icon="X")


def _draw_outcome(layout: bpy.types.UILayout, context: bpy.types.Context, running: Reconstruction) -> None:
    snapshot = running.job.snapshot()
    if snapshot.state == "failed":
        _draw_error(layout, context, snapshot.message, snapshot.hint)
    elif running.error is not None:
        _draw_error(layout, context, running.error.message, running.error.hint)
    elif running.question:
        draw_text(layout, context, f"{running.job.name} is finished. {running.question}", "QUESTION")
    elif running.head_name:
        draw_text(layout, context, f"{running.head_name}: {snapshot.message}", "CHECKMARK")
    elif snapshot.state == "cancelled":
        layout.label(text="Cancelled.", icon="X")
    if running.question or running.error is not None:
        layout.operator("gaussian_heads.import_result", icon="IMPORT")
    _draw_notes(layout, context, snapshot)
    if not running.is_running:
        layout.operator("gaussian_heads.dismiss_result", icon="PANEL_CLOSE")


def _draw_error(layout: bpy.types.UILayout, context: bpy.types.Context, message: str, hint: str) -> None:
    box = layout.box()
    box.alert = True
    draw_text(box, context, message, "ERROR")
    draw_text(box, context, hint)


def _draw_notes(layout: bpy.types.UILayout, context: bpy.types.Context, snapshot: JobSnapshot) -> None:
    for _, reason in snapshot.set_aside:
        draw_text(layout, context, f"Left out: {reason}", "CANCEL")
    told = " ".join(item.message for item in context.scene.gaussian_heads.photos.items)
    for warning in snapshot.warnings:
        if warning not in told:  # the Photos panel says it beside the photo
            draw_text(layout, context, warning, "ERROR")
    if snapshot.kept is not None:
        row = layout.row()
        draw_text(row, context, f"Also kept as {snapshot.kept.name}.", "FILE_TICK")
        row.operator("wm.path_open", text="", icon="FILE_FOLDER", emboss=False).filepath = str(snapshot.kept.parent)


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_PT_reconstruct,))
