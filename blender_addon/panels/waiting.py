"""How far what the artist waits for is: the same bar wherever it is looked for."""

from __future__ import annotations

import bpy

from ..animation import performing
from ..engine_client.engine import ENGINE
from ..engine_client.jobs import JobSnapshot
from ..engine_client.status import EngineStatus
from ..text import draw_text


def time_left(seconds: float | None) -> str:
    """Seconds as an artist says them; empty where unknown."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"about {max(round(seconds), 1)} s left"
    return f"about {round(seconds / 60)} min left"


def draw_job(layout: bpy.types.UILayout, context: bpy.types.Context, snapshot: JobSnapshot) -> None:
    """Draw how far a job of the engine's is, or the engine, where the job waits for its start."""
    if snapshot.state == "starting" and draw_engine_on_its_way(layout, context, ENGINE.status):
        return
    layout.progress(factor=snapshot.fraction, type="BAR", text=f"{snapshot.stage}  {snapshot.fraction:.0%}")
    if left := time_left(snapshot.eta_s):
        layout.label(text=left, icon="TIME")


def draw_take_on_its_way(layout: bpy.types.UILayout, context: bpy.types.Context) -> bool:
    """Draw how far the take is that is being made, with a way to stop it; nothing, and False, where there is none."""
    job = performing.current()
    if job is not None:
        draw_job(layout, context, job.snapshot())
        layout.operator("gaussian_heads.cancel_performance", icon="X")
    return job is not None


def draw_engine_on_its_way(layout: bpy.types.UILayout, context: bpy.types.Context, status: EngineStatus) -> bool:
    """Draw how far the engine is; nothing, and False, where it is not on its way."""
    if status.state == "unpacking":
        left = time_left(status.left_s)
        text = f"Unpacking the engine, once  {status.progress:.0%}"
        layout.progress(factor=status.progress, type="BAR", text=text)
        draw_text(layout, context, f"{left.capitalize()}. {status.hint}" if left else status.hint, "TIME")
    elif status.state == "starting":
        layout.progress(factor=status.progress, type="BAR", text=f"Starting the engine  {status.progress:.0%}")
    return status.state in ("unpacking", "starting")
