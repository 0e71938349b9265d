"""What operators on a head share: finding it by name, and telling errors."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty

from ..errors import AddonError
from ..rig.heads import Head, all_heads, require_head
from ..rig.linked import require_local


def head_named(context: bpy.types.Context, name: str) -> Head:
    """The head whose empty has that name; the active one for an empty name.

    Raises:
        AddonError: there is none.
    """
    if not name:
        return require_head(context)
    heads = {head.name: head for head in all_heads(context.scene)}
    if name not in heads:
        has = f"The scene has: {', '.join(heads)}." if heads else "Import or reconstruct one first."
        raise AddonError(f"The scene has no head “{name}”.", has)
    return heads[name]


class OnHead:
    """Base of operators that work on one head: they implement ``run``, which may raise :class:`AddonError`."""

    bl_options = {"REGISTER", "UNDO"}
    changes_head = True  # whether ``run`` sets or keys something of the head, which another file's head does not keep

    head: StringProperty(
        name="Head", description="Name of the head; the active one if left empty", options={"SKIP_SAVE", "HIDDEN"}
    )

    def run(self, context: bpy.types.Context, head: Head) -> str | None:
        """Do it; returns a sentence for the status bar, if there is something to say."""
        raise NotImplementedError

    def execute(self: bpy.types.Operator, context: bpy.types.Context) -> set[str]:
        try:
            head = head_named(context, self.head)
            if self.changes_head:
                require_local(head)
            sentence = self.run(context, head)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if sentence:
            self.report({"INFO"}, sentence)
        return {"FINISHED"}
