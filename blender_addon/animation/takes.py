"""Where a take goes: into the action that is there, one of its own, or onto the NLA; whole, or into some frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from ..compat import HAS_SLOTS, assign_strip, strip_channels
from ..errors import AddonError
from ..rig.heads import Head
from .curves import SAME_FRAME, channels

TARGETS = ("ACTIVE", "ACTION", "NLA")


@dataclass(frozen=True)
class Placement:
    """Where a take goes.

    Attributes:
        target: ``ACTIVE``, the action that is there; ``ACTION``, one of its own in that one's place; ``NLA``, one of
            its own on a track of its own, above what is there.
        name: of the take's action, track and strip.
        span: first and last frame that the take may change; None for all of its own.
        blend: frames, at least 1, over which the animation that is there goes over into the take at both ends of the
            span. At the ends themselves it is all that shows.
    """

    target: str = "ACTIVE"
    name: str = "Take"
    span: tuple[float, float] | None = None
    blend: float = 5.0

    def __post_init__(self):
        if self.target not in TARGETS:
            raise AddonError(f"A take cannot be put into “{self.target}”.", f"Choose one of {', '.join(TARGETS)}.")
        if self.span is not None and not (self.span[1] > self.span[0] and self.blend >= 1.0):
            first, last = self.span
            raise AddonError(
                f"Nothing can be punched into frames {first:g} to {last:g} with a blend of {self.blend:g}.",
                "Choose an end after the start, and a blend of 1 frame or more.",
            )

    @property
    def punches(self) -> bool:
        """Whether the take goes into the middle of the keys that are there."""
        return self.span is not None and self.target == "ACTIVE"

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """The frames [T] of a take that lie in the span, and where the span cuts it.

        Raises:
            AddonError: none do.
        """
        if self.span is None:
            return frames
        first, last = max(self.span[0], frames[0]), min(self.span[1], frames[-1])
        if last - first <= SAME_FRAME:
            raise AddonError(
                f"The take goes from frame {frames[0]:g} to {frames[-1]:g}, not into {self.span[0]:g} to "
                f"{self.span[1]:g}.",
                "Choose another start frame or range.",
            )
        inside = frames[(frames > first + SAME_FRAME) & (frames < last - SAME_FRAME)]
        return np.concatenate(([first], inside, [last]))


@contextmanager
def placed(owners: Sequence[bpy.types.ID], placement: Placement) -> Iterator[None]:
    """What is keyed on the owners inside goes where the take shall go.

    Args:
        owners: a head's shape keys, armature or both, that the take animates.

    Raises:
        AddonError: the NLA's tweak mode, or a punch into an action where there is none but NLA's strips.
    """
    require_no_tweaking(owners)
    if placement.target == "ACTIVE":
        for owner in owners:
            data = owner.animation_data
            if placement.punches and data is not None and data.action is None and strips_of(owner):
                raise AddonError(
                    f"“{owner.name}” plays strips of the NLA, which keys in an action would hide.",
                    "Put the take onto an NLA track, which blends with them.",
                )
        yield
        return
    shared = bpy.data.actions.new(placement.name) if HAS_SLOTS else None
    name = shared.name if shared is not None else placement.name
    for owner in owners:
        data = owner.animation_data or owner.animation_data_create()
        former = data.action
        if former is not None and placement.target == "NLA":
            _push_down(data, former.name)
        data.action = shared if shared is not None else bpy.data.actions.new(name)
        if former is not None and former.users == 0 and former.library is None:
            former.use_fake_user = True  # or it would not be saved
    yield
    if placement.target == "NLA":
        for owner in owners:
            strip = _push_down(owner.animation_data, name)
            strip.extrapolation = "NOTHING"
            if placement.span is not None:
                strip.blend_in = strip.blend_out = min(placement.blend, (strip.frame_end - strip.frame_start) / 2)


def require_no_tweaking(owners: Iterable[bpy.types.ID]) -> None:
    """Raise where a strip is being edited: Blender lets nothing else be keyed then."""
    for owner in owners:
        if owner.animation_data is not None and owner.animation_data.use_tweak_mode:
            raise AddonError(
                f"An NLA strip of “{owner.name}” is in tweak mode.", "Leave tweak mode (Tab in the NLA editor)."
            )


def strips_of(owner: bpy.types.ID) -> list[bpy.types.NlaStrip]:
    """The NLA strips of a data-block that play an action, the lowest track's first; muted tracks play nothing."""
    tracks = owner.animation_data.nla_tracks if owner.animation_data is not None else ()
    return [strip for track in tracks if not track.mute for strip in track.strips if strip.action is not None]


def take_names(head: Head) -> list[str]:
    """The actions that the head's NLA plays, by name."""
    owners = (head.mesh.data.shape_keys, head.armature)
    return sorted({strip.action.name for owner in owners for strip in strips_of(owner)})


def take_channels(owner: bpy.types.ID, take: str = "") -> Any:
    """What holds the F-curves of a take for a data-block; None where it has none.

    Args:
        take: the name of an action that the NLA plays, or that is active; the active one for an empty name.
    """
    data = owner.animation_data
    if not take or (data is not None and data.action is not None and data.action.name == take):
        return channels(owner)
    found = (strip_channels(strip) for strip in strips_of(owner) if strip.action.name == take)
    return next((holder for holder in found if holder is not None), None)


def _push_down(data: bpy.types.AnimData, name: str) -> bpy.types.NlaStrip:
    """Make a strip of the active action on a track of its own above all others, where it plays as it did."""
    tracks = data.nla_tracks
    track = tracks.new(prev=tracks[-1]) if len(tracks) else tracks.new()
    track.name = name
    first, last = data.action.frame_range
    strip = track.strips.new(name, int(first), data.action)
    strip.name = name
    assign_strip(strip, data)
    strip.action_frame_start, strip.action_frame_end = first, last
    strip.frame_start = first
    strip.frame_end = max(last, first + 1.0)
    strip.scale = 1.0
    strip.blend_type, strip.extrapolation = data.action_blend_type, data.action_extrapolation
    if data.action_influence < 1.0:
        strip.use_animated_influence, strip.influence = True, data.action_influence
    data.action = None
    return strip
