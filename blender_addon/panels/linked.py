"""What panels show of a head from another file that cannot be animated here yet."""

from __future__ import annotations

import bpy

from ..rig.linked import active_linked
from ..text import draw_text


def draw_linked(layout: bpy.types.UILayout, context: bpy.types.Context) -> bool:
    """Draw a word and a way out for such a head; returns whether there is one."""
    root = active_linked(context)
    if root is None:
        return False
    draw_text(layout, context, f"{root.name} is linked from another file.", "LINKED")
    layout.operator("gaussian_heads.make_animatable", icon="LIBRARY_DATA_OVERRIDE")
    return True
