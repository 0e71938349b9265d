"""Keys and clicks of our own, in the extension's part of Blender's keymaps, where artists can change them."""

from __future__ import annotations

from typing import Any

import bpy


class Keymap:
    """Items that come and go with a module."""

    def __init__(self) -> None:
        self._items: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []

    def add(self, place: tuple[str, str], operator: str, key: tuple[str, str], *, shift: bool = False, **options: Any):
        """Let an operator come before what Blender has on the same key.

        Args:
            place: name of the keymap and its kind of space. key: type and value of the event.
            options: the operator's properties.
        """
        configuration = bpy.context.window_manager.keyconfigs.addon
        if configuration is None:  # Blender without windows
            return
        keymap = configuration.keymaps.new(place[0], space_type=place[1])
        item = keymap.keymap_items.new(operator, *key, shift=shift, head=True)
        for name, value in options.items():
            setattr(item.properties, name, value)
        self._items.append((keymap, item))

    def clear(self) -> None:
        for keymap, item in self._items:
            keymap.keymap_items.remove(item)
        self._items.clear()
