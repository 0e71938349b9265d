"""Follows the engine's state for the panels, and ends the engine with the add-on and with Blender."""

import atexit

import bpy

from ..engine_client.engine import ENGINE
from ..engine_client.status import EngineStatus
from ..preferences import engine_settings
from . import photo_checks
from .redraw import redraw_sidebars

BUSY_SECONDS = 0.1  # between two looks while the engine is on its way
CALM_SECONDS = 0.5

_seen: EngineStatus = ENGINE.status


def start_engine() -> None:
    """Starts the engine that the preferences ask for; does nothing where it is on its way or ready."""
    ENGINE.configure(engine_settings())
    ENGINE.start()


def tick() -> float:
    """Compares one reference where nothing changed."""
    global _seen
    status = ENGINE.status
    if status is not _seen:
        if status.state == "ready" and _seen.state != "ready":
            photo_checks.request()
        _seen = status
        redraw_sidebars()
    return BUSY_SECONDS if status.state in ("unpacking", "starting") else CALM_SECONDS


def register() -> None:
    atexit.register(ENGINE.close)
    if not bpy.app.background:
        bpy.app.timers.register(tick, first_interval=CALM_SECONDS, persistent=True)


def unregister() -> None:
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    ENGINE.close()
    atexit.unregister(ENGINE.close)
