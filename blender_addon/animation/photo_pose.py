"""One photo's expression onto a head, as it is now."""

from __future__ import annotations

from ..rig.heads import Head
from . import expressions, poses
from .capture import Capture


def apply_pose(
    head: Head, recorded: Capture, strength: float = 1.0, turn: bool = False, gaze: bool = True
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Set sliders, and bones where wished, to the first sample of a take.

    Args:
        strength: factor for weights and angles.
        turn: whether the head turns as in the photo. gaze: whether the eyes look where they do there.

    Returns:
        Names of the sliders that were set, and of the bones.

    Raises:
        AddonError: the bone of the head is missing.
    """
    weights = {
        name: strength * float(rows[0])
        for name, rows in recorded.weights.items()
        if name in head.keys and (gaze or not name.startswith("eyeLook"))
    }
    expressions.set_weights(head, weights)
    bones = ("head",) if turn and "head" in recorded.angles else ()
    for joint in bones:
        poses.set_rotation(head, joint, (strength * recorded.angles[joint][0]).tolist())
    return tuple(weights), bones
