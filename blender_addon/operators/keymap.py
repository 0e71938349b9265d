"""Keys and clicks of our own, in the extension's part of Blender's keymaps, where artists can change them."""

from __future__ import annotations

from typing import Any

import bpy


class Keymap:
    """Items that come and go with a module."""

    def __init__(self) -> None:
        self._items: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []

    def add(
        self, name: str, operator: str, key: tuple[str, str], *, shift: bool = False, ctrl: bool = False, **options: Any
    ) -> None:
        """Let an operator come before what Blender has on the same key.

        Args:
            name: of the keymap. key: type and value of the event. options: the operator's properties.
        """
        configurations = bpy.context.window_manager.keyconfigs
        theirs = configurations.default.keymaps.get(name) if configurations.default else None
        if configurations.addon is None or theirs is None:  # Blender without windows
            return
        keymap = configurations.addon.keymaps.new(name, space_type=theirs.space_type, region_type=theirs.region_type)
        item = keymap.keymap_items.new(operator, *key, shift=shift, ctrl=ctrl, head=True)
        for option, value in options.items():
            setattr(item.properties, option, value)
        self._items.append((keymap, item))

    def clear(self) -> None:
        for keymap, item in self._items:
            keymap.keymap_items.remove(item)
        self._items.clear()
