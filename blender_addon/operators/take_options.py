"""What operators that bring a take onto a head share: which parts of it, and where it goes."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty

from ..animation.groups import GROUPS
from ..animation.performance import FACE_PARTS
from ..animation.takes import Placement

PART_ITEMS = (
    ("FACE", "Face", "All shape keys"),
    ("HEAD", "Head", "The head's turn, onto the bones of head and neck"),
    ("EYES", "Eye Bones", "The eyes' turn, onto their bones in the place of the eyeLook keys"),
    *((part, GROUPS[part.lower()], f"The shape keys of this part: {GROUPS[part.lower()]}") for part in FACE_PARTS),
)
PLACE_ITEMS = (
    ("ACTIVE", "Active Action", "Into the head's action, in the place of the keys that are there"),
    ("ACTION", "New Action", "An action of its own, in the place of the head's; that one stays in the file"),
    ("NLA", "NLA Track", "An action of its own, as a strip above what the head plays"),
)


class TakeOptions:
    """Where a take goes: the operators' shared properties."""

    place: EnumProperty(name="Place", description="Where the take goes", items=PLACE_ITEMS, default="ACTIVE")
    punch_in: BoolProperty(name="Punch In", description="Change a range of frames only; all else plays on as it did")
    punch_start: IntProperty(name="From", description="The first frame that the take may change", default=1)
    punch_end: IntProperty(name="To", description="The last frame that the take may change", default=250)
    blend: IntProperty(
        name="Blend", description="Frames over which the take begins and ends in the range", default=5, min=1
    )

    def placement(self: bpy.types.Operator, name: str) -> Placement:
        """What was chosen, for a take of that name. May raise :class:`AddonError`."""
        span = (self.punch_start, self.punch_end) if self.punch_in else None
        return Placement(self.place, name, span, self.blend)
