"""A target that the eyes follow: an empty, and a Damped Track constraint on each eye bone."""

from __future__ import annotations

import bpy
from mathutils import Vector

from ..rig.heads import Head
from ..rig.linked import require_local
from .poses import require_bone

EYES = ("eyeLeft", "eyeRight")
NAME = "Gaze"  # of the constraints
TARGET_SIZE = 0.03  # m


def constraints(head: Head) -> list[bpy.types.Constraint]:
    """The gaze constraints that the head's eyes have now, the left one first."""
    bones = (head.armature.pose.bones.get(joint) for joint in EYES)
    found = (bone.constraints.get(NAME) for bone in bones if bone is not None)
    return [constraint for constraint in found if constraint is not None]


def target(head: Head) -> bpy.types.Object | None:
    """What the eyes follow."""
    return next((constraint.target for constraint in constraints(head) if constraint.target is not None), None)


def add(head: Head, distance: float = 1.0, influence: float = 1.0) -> bpy.types.Object:
    """Let the eyes follow an empty, which is put straight in front of them; returns it.

    Where the head has such a target already, that one is put back in front.

    Args:
        distance: m from the eyes, in the head's own scale.
        influence: 0 leaves the eyes to their keys, 1 to the target.

    Raises:
        AddonError: an eye bone is missing, or the head is linked from another file without a library override.
    """
    require_local(head)
    bones = [require_bone(head, joint) for joint in EYES]
    empty = target(head)
    if empty is None:
        # Nothing can be linked into a collection that is another file's, overridden or not.
        own = [at for at in head.root.users_collection if at.library is None and at.override_library is None]
        empty = bpy.data.objects.new(f"{head.name}.gaze", None)
        empty.empty_display_type, empty.empty_display_size = "SPHERE", TARGET_SIZE
        for collection in own or [bpy.context.scene.collection]:
            collection.objects.link(empty)
        empty.parent = head.root
    for constraint in constraints(head):  # so that the eyes look as their bones are turned
        constraint.mute = True
    bpy.context.view_layer.update()
    middle = sum((bone.head for bone in bones), Vector()) / len(bones)
    ahead = Vector(sum((bone.z_axis for bone in bones), Vector())).normalized()
    empty.matrix_basis.identity()
    empty.location = head.armature.matrix_local @ (middle + distance * ahead)
    for bone in bones:
        constraint = bone.constraints.get(NAME) or bone.constraints.new("DAMPED_TRACK")
        constraint.name, constraint.target, constraint.influence = NAME, empty, influence
        constraint.mute = False  # by a bake, too
        constraint.track_axis = "TRACK_Z"  # the bones' z looks out of the face
    return empty


def remove(head: Head) -> bool:
    """Take the constraints away, and the empty with them; returns whether there were any."""
    empty, found = target(head), constraints(head)
    for joint in EYES:
        bone = head.armature.pose.bones.get(joint)
        if bone is not None and (constraint := bone.constraints.get(NAME)) is not None:
            bone.constraints.remove(constraint)
    if empty is not None and empty.parent == head.root and empty.library is None:
        bpy.data.objects.remove(empty)
    return bool(found)
