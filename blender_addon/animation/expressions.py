"""Setting and keying the shape keys of a head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..rig.heads import Head
from .curves import find_curve, is_driven
from .presets import preset_weights
from .symmetry import accept, key_path

SAME = 1e-5  # weights closer than this are the same


def weights(head: Head) -> dict[str, float]:
    """The sliders' present values by name."""
    return {name: key.value for name, key in head.keys.items()}


def set_weights(head: Head, wanted: Mapping[str, float], strength: float = 1.0) -> tuple[str, ...]:
    """Move sliders; Blender clamps them to their ranges.

    Args:
        wanted: weight per key; keys that are not named stay.
        strength: 0 keeps the present values, 1 sets ``wanted``, between and beyond is on the line through both.

    Returns:
        The wanted names that the head has not.
    """
    keys = head.keys
    for name in wanted.keys() & keys.keys():
        key = keys[name]
        key.value += strength * (wanted[name] - key.value)
    accept(head.mesh.data.shape_keys)
    return tuple(name for name in wanted if name not in keys)


def apply_preset(head: Head, preset: str, strength: float = 1.0) -> tuple[str, ...]:
    """Set an expression of :mod:`.presets` at some strength: 0 is a resting face, 1 the preset.

    Returns:
        The keys that it moves and the head has not.

    Raises:
        KeyError: no such preset.
    """
    wanted = {name: strength * weight for name, weight in preset_weights(preset).items()}
    return tuple(name for name in set_weights(head, wanted) if wanted[name])


def reset(head: Head, names: Iterable[str] | None = None) -> None:
    """Set keys to 0, all of them by default."""
    set_weights(head, dict.fromkeys(head.keys if names is None else names, 0.0))


def key_weights(head: Head, frame: float, names: Iterable[str] | None = None) -> int:
    """Insert keyframes of the present values, of all keys by default; returns how many. Driven keys are left out."""
    shape_keys = head.mesh.data.shape_keys
    free = [name for name in (head.keys if names is None else names) if not is_driven(shape_keys, key_path(name))]
    for name in free:
        shape_keys.keyframe_insert(key_path(name), frame=frame)
    return len(free)


def changed(head: Head, frame: float) -> list[str]:
    """Keys whose sliders differ from their animation at a frame, or from 0 where they have none."""
    shape_keys = head.mesh.data.shape_keys
    found = []
    for name, key in head.keys.items():
        curve = find_curve(shape_keys, key_path(name))
        if abs(key.value - (curve.evaluate(frame) if curve is not None else 0.0)) > SAME:
            found.append(name)
    return found
