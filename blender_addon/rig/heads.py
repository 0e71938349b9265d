"""Finds the heads of a scene: a head is a marked empty with a mesh, an armature and splats below it."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from ..compat import HAS_NATIVE_SPLATS
from ..errors import AddonError

# Of the rig. 1 hid mesh and armature, where nothing could select or key them; up to 2, Blender drew the splats' points.
VERSION = 3
SHOW = "gaussian_head_show"  # of the root: SPLATS, MESH or BOTH; SPLATS where it is missing
HAIR = "gaussian_head_hair"  # of the object that holds hair and clothes as cards
MARK = "gaussian_head"  # plain ID property of the root, so it survives without the extension; value: the version


@dataclass(frozen=True)
class Head:
    """The objects of one head.

    Attributes:
        root: the empty that carries everything.
        mesh: mesh object with the shape keys, deformed by ``armature``.
        armature: armature object with the bones torso, neck, head, jaw, eyeLeft, eyeRight.
        splats: point cloud object whose Geometry Nodes modifier follows ``mesh``.
        hair: mesh object of cards, where the head has textures and hair.
    """

    root: bpy.types.Object
    mesh: bpy.types.Object
    armature: bpy.types.Object
    splats: bpy.types.Object
    hair: bpy.types.Object | None = None

    @property
    def parts(self) -> tuple[bpy.types.Object, ...]:
        """All of them, the root first."""
        four = self.root, self.mesh, self.armature, self.splats
        return four if self.hair is None else (*four, self.hair)

    @property
    def shown(self) -> str:
        """How it is shown: ``SPLATS``, ``MESH`` or ``BOTH``."""
        return str(self.root.get(SHOW, "SPLATS"))

    @property
    def has_splats(self) -> bool:
        """Whether its splats are drawn and rendered."""
        return self.shown != "MESH"

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def keys(self) -> dict[str, bpy.types.ShapeKey]:
        """Shape keys by name, without the basis, in the rig's order."""
        blocks = self.mesh.data.shape_keys.key_blocks
        return {key.name: key for key in blocks if key != key.relative_key}


def find_head(obj: bpy.types.Object | None) -> Head | None:
    """The head that an object is, or is part of; None where it is none."""
    while obj is not None and MARK not in obj:
        obj = obj.parent
    if obj is None:
        return None
    # What artists parent to a head (glasses, a body with a rig of its own) is not part of it.
    below = obj.children_recursive
    mesh = next((part for part in below if part.type == "MESH" and "gs_rest_area" in part.data.attributes), None)
    splats = next((part for part in below if part.type == "POINTCLOUD" and "gs_triangle" in part.data.attributes), None)
    if mesh is None or splats is None or mesh.data.shape_keys is None:
        return None
    deforms = [modifier for modifier in mesh.modifiers if modifier.type == "ARMATURE" and modifier.object]
    hair = next((part for part in below if part.type == "MESH" and HAIR in part), None)
    return Head(obj, mesh, deforms[0].object, splats, hair) if deforms else None


def show_parts(head: Head, layer: bpy.types.ViewLayer) -> None:
    """Make mesh and armature selectable, so that Blender's own commands and editors know them, though not drawn."""
    for part in (head.mesh, head.armature):
        if part.name in layer.objects:
            part.hide_set(head.root.hide_get(view_layer=layer), view_layer=layer)
    for part in head.parts[1:]:
        draw_as_needed(part)


def draw_as_needed(part: bpy.types.Object) -> None:
    """Let Blender draw an armature while it is posed, a mesh while edited or shown, and splats where it knows them.

    What instances something can be left undrawn itself: it stays visible to all else, as hiding would not. Splats that
    Blender takes for points would show nothing either, but cost a weak GPU as much as all else that it draws. A mesh on
    which something hangs would instance that on every face: it is drawn as its bounds.
    """
    shown = str(part.parent.get(SHOW, "SPLATS")) if part.parent is not None else "SPLATS"
    if part.type == "POINTCLOUD":
        drawn = HAS_NATIVE_SPLATS and shown != "MESH"
    else:
        drawn = part.mode != "OBJECT" or (part.type == "MESH" and shown == "MESH")
    carries = part.type == "MESH" and bool(part.children)
    wanted = {
        "instance_type": "NONE" if carries else "FACES",
        "show_instancer_for_viewport": drawn or carries,
        "display_type": "BOUNDS" if carries and not drawn else "TEXTURED",
    }
    for name, value in wanted.items():
        if getattr(part, name) != value:
            setattr(part, name, value)


def select(head: Head, layer: bpy.types.ViewLayer) -> None:
    """Select a head with all its parts and nothing else; its root is active."""
    for selected in layer.objects.selected:
        selected.select_set(False, view_layer=layer)
    set_selected(head, True, layer)
    layer.objects.active = head.root


def set_selected(head: Head, selected: bool, layer: bpy.types.ViewLayer) -> None:
    """Select or deselect a head with all its parts."""
    for part in head.parts:
        part.select_set(selected, view_layer=layer)


def name_parts(head: Head) -> None:
    """Name a head's parts and their data after its root."""
    named = {"head": head.mesh, "rig": head.armature, "splats": head.splats, "hair": head.hair}
    for ending, part in named.items():
        if part is not None:
            part.name = part.data.name = f"{head.name}.{ending}"


def all_heads(scene: bpy.types.Scene) -> list[Head]:
    """Every complete head of a scene, sorted by name."""
    found = (find_head(obj) for obj in scene.objects if MARK in obj)
    return sorted((head for head in found if head), key=lambda head: head.name)


def active_head(context: bpy.types.Context) -> Head | None:
    """The head that the panels work on: the active object's, otherwise the scene's only one."""
    head = find_head(context.view_layer.objects.active)
    if head is None and len(heads := all_heads(context.scene)) == 1:
        head = heads[0]
    return head


def require_head(context: bpy.types.Context) -> Head:
    """The same as :func:`active_head`, for operators.

    Raises:
        AddonError: there is no head, or several and none is active.
    """
    head = active_head(context)
    if head is None:
        raise AddonError("No Gaussian head is active.", "Select a head in the 3D View or the Outliner.")
    return head
