"""Adds and removes a module's functions to Blender's lists of handlers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import bpy

Handlers = Sequence[tuple[str, Callable]]  # name of a list of bpy.app.handlers, and the function


def add(handlers: Handlers) -> None:
    for name, handler in handlers:
        getattr(bpy.app.handlers, name).append(handler)


def remove(handlers: Handlers) -> None:
    for name, handler in handlers:
        getattr(bpy.app.handlers, name).remove(handler)
