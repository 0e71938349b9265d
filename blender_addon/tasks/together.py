"""A head is one thing: what is selected, hidden, disabled or parented of it, is so as a whole.

So Blender's own commands do to a head what they do to any object: H, local view, X, Shift D, copy and paste, frame
selected, and the editors that show the keys of what is selected. Files of older versions are brought up to date.
"""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

from ..rig.heads import MARK, VERSION, Head, draw_as_needed, show_parts
from . import handlers
from .changes import CHANGES, MANY

Flags = tuple[bool, ...]  # one per part of a head, the root first

# What the parts agree on: how it is read, and how it is set.
_HIDING = (
    (
        lambda part, layer: part.hide_get(view_layer=layer),
        lambda part, value, layer: part.hide_set(value, view_layer=layer),
    ),
    (lambda part, _: part.hide_viewport, lambda part, value, _: setattr(part, "hide_viewport", value)),
)


class _Together:
    """What was seen of each head in each view layer."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str, int], tuple[Flags, ...]] = {}
        self._parts: dict[str, tuple[str, ...]] = {}  # names of a root's parts, by its own
        self._modes: dict[int, str] = {}  # in which a part was last drawn; undo may bring back other settings

    def unite(self, scene: bpy.types.Scene, layer: bpy.types.ViewLayer, updates: list[bpy.types.ID]) -> None:
        """Let the parts of every head agree; a part that changed since the last time takes the others along.

        Args:
            updates: what Blender evaluated anew.
        """
        parents = {obj.original.parent for obj in updates if isinstance(obj, bpy.types.Object)}
        self._gather()
        active = layer.objects.active
        at_work = active is not None and active.mode != "OBJECT"
        for head in CHANGES.heads(scene):
            if head.root.library is not None:
                continue
            if head.root[MARK] < VERSION and head.root.override_library is None:  # that is renewed in its own file
                _renew(head, layer)
            self._parts[head.root.name] = tuple(part.name for part in head.parts[1:])
            for part in (part for part in head.parts[1:] if part.type != "POINTCLOUD"):
                uid, carried = part.session_uid, part.instance_type == "NONE"
                if carried or part in parents or self._modes.get(uid) != part.mode:
                    draw_as_needed(part)
                    self._modes[uid] = part.mode
            if at_work or any(part.name not in layer.objects for part in head.parts):
                continue
            key = scene.session_uid, layer.name, head.root.session_uid
            seen = self._seen.get(key, ())
            now = [_hiding(head, layer, seen, number) for number in range(len(_HIDING))]
            self._seen[key] = *now, _selection(head, layer, seen[-1] if seen else ())

    def _gather(self) -> None:
        """Bring parts back below their root: Blender's Set Parent and Clear Parent mean the head, which the root is."""
        for name, parts in list(self._parts.items()):
            root = bpy.data.objects.get(name)
            found = [bpy.data.objects.get(part) for part in parts]
            if root is None or MARK not in root or not all(found):
                del self._parts[name]  # deleted or renamed
            elif root.library is None:
                for part in found:
                    if part.parent != root:
                        part.parent = root
                        part.matrix_parent_inverse.identity()
                        part.matrix_basis.identity()
                        CHANGES.forget()

    def forget(self) -> None:
        """Whatever is selected, hidden or parented now is not the artist's change."""
        self._seen.clear()
        self._parts.clear()
        self._modes.clear()


def _hiding(head: Head, layer: bpy.types.ViewLayer, seen: tuple[Flags, ...], number: int) -> Flags:
    read, write = _HIDING[number]
    flags = tuple(read(part, layer) for part in head.parts)
    if len(set(flags)) > 1:
        before = seen[number] if seen else (flags[0],) * len(flags)
        value = next((now for now, then in zip(flags, before, strict=True) if now != then), flags[0])
        for part in head.parts:
            write(part, value, layer)
        flags = (value,) * len(flags)
    return flags


def _selection(head: Head, layer: bpy.types.ViewLayer, before: Flags) -> Flags:
    parts = [part for part in head.parts if not part.hide_get(view_layer=layer)]
    flags = tuple(part.select_get(view_layer=layer) for part in parts)
    if len(set(flags)) > 1:
        # One part that was picked alone means the head; of a selected head, a part that was taken away means all.
        picked = sum(flags) == 1 and layer.objects.active == parts[flags.index(True)]
        value = picked or not (before and all(before))
        for part in parts:
            part.select_set(value, view_layer=layer)
        flags = (value,) * len(flags)
    return flags


def _renew(head: Head, layer: bpy.types.ViewLayer) -> None:
    """From versions whose parts were hidden, or drawn as points."""
    show_parts(head, layer)
    head.root[MARK] = VERSION


TOGETHER = _Together()


@persistent
def _updated(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    layer = scene.view_layers.get(depsgraph.view_layer.name)
    if layer is not None:
        updates = depsgraph.updates
        TOGETHER.unite(scene, layer, [update.id for update in updates] if len(updates) <= MANY else list(scene.objects))


@persistent
def _replaced(*_: object) -> None:
    TOGETHER.forget()


_HANDLERS = (
    ("depsgraph_update_post", _updated),
    ("undo_post", _replaced),
    ("redo_post", _replaced),
    ("load_post", _replaced),
)


def register() -> None:
    handlers.add(_HANDLERS)


def unregister() -> None:
    handlers.remove(_HANDLERS)
    TOGETHER.forget()
