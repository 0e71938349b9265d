"""Runs inside the real Blender: finds every control of the extension, and does what a click on each would do.

Controls are found by drawing panels and menus onto a layout that only takes notes, so none can be forgotten.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import bpy

PACKAGE = "bl_ext.user_default.gaussian_heads"
PREFIX = "gaussian_heads."
SHOWN_WITH_PARENT = "GAUSSIAN_HEADS_PT_expression_"


class Notes:
    """A layout that remembers what is put on it: (operator, options), menu, or (place of the owner, property)."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Any, Any]] = []

    def operator(self, name: str, **_: object) -> Options:
        options = Options()
        self.found.append(("operator", name, options))
        return options

    def menu(self, name: str, **_: object) -> None:
        self.found.append(("menu", name, None))

    def prop(self, owner: bpy.types.bpy_struct, name: str, **_: object) -> None:
        # By its place, not by itself: it goes with its head, and comes again with the next.
        whole = owner.id_data
        path = owner.path_from_id() if owner != whole else ""
        if isinstance(whole, bpy.types.Key):
            path = f"data.shape_keys.{path}"
            whole = next(obj for obj in bpy.data.objects if getattr(obj.data, "shape_keys", None) == whole)
        kind = "scenes" if isinstance(whole, bpy.types.Scene) else "objects"
        self.found.append(("prop", (kind, whole.name, path), name))

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self  # a row, a column, a label: all the same here


class Options:
    """What a panel sets on an operator's button."""


def classes(base: type) -> list[type]:
    ours = [cls for name, module in sys.modules.items() if name.startswith(PACKAGE) for cls in vars(module).values()]
    kinds = [cls for cls in ours if isinstance(cls, type) and issubclass(cls, base) and cls.__module__ != "bpy.types"]
    registered = [getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith("GAUSSIAN_HEADS_")]
    kinds += [cls for cls in registered if isinstance(cls, type) and issubclass(cls, base)]
    return sorted(set(kinds), key=lambda cls: cls.__name__)


def drawn(cls: type, context: bpy.types.Context) -> list[tuple[str, Any, Any]]:
    """The controls of a panel or menu; none where it would not be shown."""
    if not getattr(cls, "is_registered", True) or (hasattr(cls, "poll") and not cls.poll(context)):
        return []
    own: dict[str, Any] = {}
    for kind in reversed([kind for kind in cls.__mro__ if kind.__module__.startswith(PACKAGE)]):
        own |= {name: value for name, value in vars(kind).items() if not name.startswith(("__", "bl_rna"))}
    stand_in = type(cls.__name__, (), own)()
    stand_in.layout = notes = Notes()
    for draw in ("draw_header_preset", "draw"):
        if hasattr(stand_in, draw):
            getattr(stand_in, draw)(context)
    return notes.found


def controls(context: bpy.types.Context) -> Iterator[tuple[str, str, Any, Any]]:
    """Of all panels and menus: a name that tells them apart, the kind, and what it needs.

    Of sliders there is one of a kind, and two of buttons that differ by an option's value alone, such as the presets.
    """
    known = set()
    alike: Counter[tuple] = Counter()
    for cls in [*classes(bpy.types.Panel), *classes(bpy.types.Menu)]:
        if cls.__name__.startswith("GAUSSIAN_HEADS_") and not cls.__name__.startswith(SHOWN_WITH_PARENT):
            yield f"{'panel' if issubclass(cls, bpy.types.Panel) else 'menu'} {cls.__name__}", "shown", cls, None
        for kind, what, more in drawn(cls, context):
            options = vars(more) if kind == "operator" else {}
            label = what if isinstance(what, str) else f"{what[2]}.{more}"
            name = re.sub(r'"[^"]+"', '""', f"{kind} {label}") + f" {options or ''}"
            if name not in known:
                alike[kind, label, *options] += 1
                if kind == "operator" and alike[kind, label, *options] > 2:
                    continue
                known.add(name)
                yield name, kind, what, options if kind == "operator" else more
    for name in dir(bpy.ops.gaussian_heads):  # those that only scripts, keys and Blender's own menus call
        if not any(text.startswith(f"operator {PREFIX}{name}") for text in known):
            yield f"operator {PREFIX}{name}", "operator", PREFIX + name, {}


def use(kind: str, what: Any, more: Any) -> str:
    """Do what a click does; what Blender says against it."""
    try:
        if kind == "shown":
            if issubclass(what, bpy.types.Menu):
                bpy.ops.wm.call_menu("INVOKE_DEFAULT", name=what.__name__)
            else:
                bpy.ops.wm.call_panel("INVOKE_DEFAULT", name=what.__name__, keep_open=False)
        elif kind == "menu":
            bpy.ops.wm.call_menu("INVOKE_DEFAULT", name=what)
        elif kind == "operator":
            module, _, name = what.partition(".")
            operator = getattr(getattr(bpy.ops, module), name)
            if not operator.poll():
                return "poll"
            operator("INVOKE_DEFAULT", True, **more)
        else:
            _turn(what, more)
    except (RuntimeError, KeyError, ValueError) as error:
        return str(error).strip()
    return ""


def _turn(place: tuple[str, str, str], name: str) -> None:
    """Set a property to another value and back."""
    kind, whole, path = place
    owner = getattr(bpy.data, kind)[whole]
    owner = owner.path_resolve(path) if path else owner
    prop, value = owner.bl_rna.properties[name], getattr(owner, name)
    if prop.is_readonly:
        return
    if getattr(prop, "is_array", False):
        setattr(owner, name, [number + 0.1 for number in value])
        setattr(owner, name, value)
        return
    others = {
        "BOOLEAN": lambda: [not value],
        "ENUM": lambda: [{item.identifier} if prop.is_enum_flag else item.identifier for item in prop.enum_items],
        "FLOAT": lambda: [prop.soft_min, min(prop.soft_max, value + 0.5)],
        "INT": lambda: [max(prop.soft_min, 1), value + 1],
        "STRING": lambda: ["a"],
    }
    for other in others.get(prop.type, list)():
        setattr(owner, name, other)
    setattr(owner, name, value)
