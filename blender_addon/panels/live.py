"""The live panel: what the head follows, how it is, and recording."""

from __future__ import annotations

import bpy

from ..animation import live
from ..animation.live import Live
from ..engine_client.engine import ENGINE
from ..engine_client.live import own_address
from ..rig.heads import Head, active_head
from ..text import draw_text
from .linked import draw_linked
from .waiting import draw_engine_on_its_way

TARGETS = {"IFACIALMOCAP": "phone", "WEBCAM": "camera", "CLIP": "clip"}
PHONES = ("LIVELINKFACE", "IFACIALMOCAP", "FACECAP")
PICTURES = ("WEBCAM", "CLIP")


class GAUSSIAN_HEADS_PT_live(bpy.types.Panel):
    bl_idname = "GAUSSIAN_HEADS_PT_live"
    bl_label = "Live"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Gaussian Heads"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 55

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        if draw_linked(layout, context):
            return
        head, followed = active_head(context), live.current()
        if head is None and followed is None:
            draw_text(layout, context, "Select a head to move it live.", "INFO")
            return
        panel = context.scene.gaussian_heads.live
        if followed is None or followed.is_over:
            if followed is not None and followed.error is not None:
                draw_text(layout, context, str(followed.error), "ERROR")
            _draw_source(layout, context, panel)
            layout.operator("gaussian_heads.live_start", icon="PLAY")
        else:
            _draw_lights(layout, context, followed)
            layout.operator("gaussian_heads.live_stop", icon="SNAP_FACE")
            recording = followed.is_recording
            text, icon = ("Finish Recording", "KEYFRAME_HLT") if recording else ("Record", "REC")
            layout.operator("gaussian_heads.live_record", text=text, icon=icon, depress=recording)
        _draw_filters(layout, panel, followed.head if followed else head)


def _draw_source(layout: bpy.types.UILayout, context: bpy.types.Context, panel: bpy.types.PropertyGroup) -> None:
    column = layout.column()
    column.prop(panel, "source")
    if (target := TARGETS.get(panel.source)) is not None:
        column.prop(panel, target)
    if panel.source in PICTURES:
        return
    column.row().prop(panel, "listen", expand=True)
    column.prop(panel, "port")
    if panel.source in PHONES and panel.listen == "LOOPBACK":
        draw_text(layout, context, "A phone is not on this computer: choose Network.", "INFO")


def _draw_lights(layout: bpy.types.UILayout, context: bpy.types.Context, followed: Live) -> None:
    status = followed.status
    if status is None:
        if not draw_engine_on_its_way(layout, context, ENGINE.status):
            layout.label(text="Opening the source …", icon="TIME")
        return
    name = f" to {status.subject}" if status.subject else ""
    if status.connected:
        layout.label(text=f"Connected{name}, {status.fps} fps", icon="RECORD_ON")
    else:
        layout.label(text=status.ended or "Not connected", icon="RECORD_OFF")
        if followed.wish.address == "0.0.0.0" and status.port and (address := own_address()):
            draw_text(layout, context, f"Let the phone send to {address}, port {status.port}.", "INFO")
    if status.dropped or status.refused:
        layout.label(text=f"{status.dropped} dropped, {status.refused} refused", icon="DOT")
    if status.problem:
        draw_text(layout, context, status.problem, "ERROR")
    if status.recorded is not None:
        layout.label(text=f"{status.recorded} samples recorded", icon="REC")


def _draw_filters(layout: bpy.types.UILayout, panel: bpy.types.PropertyGroup, head: Head | None) -> None:
    layout.column(align=True).prop(panel, "parts")
    column = layout.column()
    for name in ("gain", "smoothing", "neck_share", "mirror"):
        column.prop(panel, name)
    row = layout.row(align=True)
    row.operator("gaussian_heads.live_neutral", icon="USER")
    if head is not None and live.neutral(head) is not None:
        row.operator("gaussian_heads.live_neutral", text="", icon="X").clear = True


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_PT_live,))
