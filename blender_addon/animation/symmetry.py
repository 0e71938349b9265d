"""Symmetric editing: a slider moved by hand takes its mirror image along.

The handlers compare a head's shape key values with those that they saw last. They move nothing while the scene's
setting is off or an animation plays, and never follow what drivers, F-curves, undo or the add-on's own functions set.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..rig.heads import all_heads
from ..tasks import handlers
from .curves import find_curve, is_driven
from .groups import counterpart

EPS = 1e-6

# session_uid of the shape keys -> values [K], or None where they are no head's; None before the first look at the file.
_seen: dict[int, np.ndarray | None] | None = None
_undoing = False


def accept(shape_keys: bpy.types.Key) -> None:
    """Take the present values as they are: they were set on purpose, not by a slider."""
    if _seen is not None:
        _seen[shape_keys.session_uid] = _values(shape_keys)


def key_path(name: str) -> str:
    """The animation path of a shape key's value, from the shape keys."""
    return f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'


def _values(shape_keys: bpy.types.Key) -> np.ndarray:
    values = np.empty(len(shape_keys.key_blocks), np.float32)
    shape_keys.key_blocks.foreach_get("value", values)
    return values


def _look() -> None:
    """Remember the values of all heads of the file."""
    global _seen
    _seen = dict.fromkeys(shape_keys.session_uid for shape_keys in bpy.data.shape_keys)
    for scene in bpy.data.scenes:
        for head in all_heads(scene):
            accept(head.mesh.data.shape_keys)


def _enabled(scene: bpy.types.Scene) -> bool:
    return scene.gaussian_heads.expression.symmetric


def _playing() -> bool:
    return any(window.screen.is_animation_playing for window in bpy.context.window_manager.windows)


@persistent
def _after_update(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    if _seen is None:
        _look()
    elif depsgraph.id_type_updated("KEY") and not _undoing:
        keys = [update.id.original for update in depsgraph.updates if isinstance(update.id, bpy.types.Key)]
        if any(shape_keys.session_uid not in _seen for shape_keys in keys):
            _look()
        for shape_keys in keys:
            before = _seen[shape_keys.session_uid]
            if before is None:
                continue
            if _enabled(scene) and not _playing():
                _follow(shape_keys, before, scene)
            accept(shape_keys)


def _follow(shape_keys: bpy.types.Key, before: np.ndarray, scene: bpy.types.Scene) -> None:
    values, blocks = _values(shape_keys), shape_keys.key_blocks
    if len(values) != len(before):  # keys were added or removed
        return
    moved = {blocks[i].name for i in np.flatnonzero(np.abs(values - before) > EPS).tolist()}
    keyed = scene.tool_settings.use_keyframe_insert_auto
    for name in sorted(moved):
        other = blocks.get(counterpart(name) or "")
        if other is None or other.name in moved or is_driven(shape_keys, key_path(other.name)):
            continue
        auto_keyed = keyed and _has_key_at(shape_keys, name, scene.frame_current)
        if _is_animated(shape_keys, name, scene) and not auto_keyed:
            continue
        other.value = blocks[name].value
        if auto_keyed:
            other.keyframe_insert("value", frame=scene.frame_current)


def _is_animated(shape_keys: bpy.types.Key, name: str, scene: bpy.types.Scene) -> bool:
    """Whether the value is what a driver or an F-curve says, so no hand moved it."""
    path = key_path(name)
    curve = find_curve(shape_keys, path)
    value = shape_keys.key_blocks[name].value
    return is_driven(shape_keys, path) or (
        curve is not None and abs(curve.evaluate(scene.frame_current_final) - value) <= EPS
    )


def _has_key_at(shape_keys: bpy.types.Key, name: str, frame: int) -> bool:
    curve = find_curve(shape_keys, key_path(name))
    return curve is not None and any(point.co[0] == frame for point in curve.keyframe_points)


@persistent
def _after_frame_change(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph) -> None:
    if _seen:
        for shape_keys in bpy.data.shape_keys:
            if _seen.get(shape_keys.session_uid) is not None:
                accept(shape_keys)


@persistent
def _before_undo(_scene: bpy.types.Scene, _unused: object) -> None:
    global _undoing
    _undoing = True


@persistent
def _after_undo(scene: bpy.types.Scene, _unused: object) -> None:
    global _undoing
    _undoing = False
    if _seen is not None:
        _look()


@persistent
def _after_load(*_unused: object) -> None:
    global _seen, _undoing
    _seen, _undoing = None, False


_HANDLERS = (
    ("depsgraph_update_post", _after_update),
    ("frame_change_post", _after_frame_change),
    ("undo_pre", _before_undo),
    ("redo_pre", _before_undo),
    ("undo_post", _after_undo),
    ("redo_post", _after_undo),
    ("load_post", _after_load),
)


def register() -> None:
    handlers.add(_HANDLERS)


def unregister() -> None:
    handlers.remove(_HANDLERS)
    _after_load()
