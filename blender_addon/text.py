"""Sentences in panels, which Blender's labels would cut off."""

import textwrap

import bpy

CHARACTER_PIXELS = 6.5  # mean width in Blender's font at scale 1
BORDER_PIXELS = 60.0  # icon, margins and scroll bar


def draw_text(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE") -> None:
    """Draws text in as many lines as the region's width asks for; ``icon`` stands before the first."""
    scale = context.preferences.system.ui_scale
    width = context.region.width / scale if context.region else 300
    lines = textwrap.wrap(text, max(int((width - BORDER_PIXELS) / CHARACTER_PIXELS), 16))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for position, line in enumerate(lines):
        first = icon if position == 0 else "BLANK1"
        column.label(text=line, icon=first if icon != "NONE" else "NONE")
