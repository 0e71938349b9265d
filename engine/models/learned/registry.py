"""The five systems by name, with the sizes and ablations that can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_args, get_type_hints

from engine.errors import EngineError
from engine.heads.parametric import ParametricHead
from engine.models.avat3r import Avat3r
from engine.models.ffavatar import FFAvatar
from engine.models.flexavatar import FlexAvatar
from engine.models.learned.point_systems import Avat3rSystem, FFAvatarSystem
from engine.models.learned.system import LearnedSystem
from engine.models.learned.uv_systems import FlexAvatarSystem, MatchSystem, UIKASystem
from engine.models.match import MATCH
from engine.models.uika import UIKA

PRESETS = ("tiny", "small", "paper")


@dataclass(frozen=True)
class _Entry:
    config: Any
    system: Callable[[Any, ParametricHead], LearnedSystem]


_ENTRIES = {
    "match": _Entry(MATCH, MatchSystem),
    "ffavatar": _Entry(FFAvatar, FFAvatarSystem),
    "avat3r": _Entry(Avat3r, Avat3rSystem),
    "uika": _Entry(UIKA, UIKASystem),
    "flexavatar": _Entry(FlexAvatar, FlexAvatarSystem),
}


def make_system(name: str, preset: str, head: ParametricHead, variant: Mapping[str, str]) -> LearnedSystem:
    """A system with fresh weights.

    Args:
        name: a key of the table. preset: one of :data:`PRESETS`; Gaussians of all start on the surface.
        variant: fields of the method's dataclass to change, as text: numbers, ``true``/``false`` or words.

    Raises:
        EngineError: there is no such system, preset or field, or a field takes no such value.
    """
    if name not in _ENTRIES:
        raise EngineError(f"There is no network called {name}.", f"Choose one of: {', '.join(_ENTRIES)}.")
    if preset not in PRESETS:
        raise EngineError(f"There is no preset called {preset}.", f"Choose one of: {', '.join(PRESETS)}.")
    entry = _ENTRIES[name]
    on_surface = replace(getattr(entry.config, preset)(), on_surface=True)  # systems need it, see Learned
    return entry.system(changed(on_surface, variant, name), head)


def changed(choices: Any, variant: Mapping[str, str], whose: str) -> Any:
    """A dataclass of choices with some of its fields given as text: numbers, ``true``/``false`` or words.

    Args:
        whose: the choices are, for errors.

    Raises:
        EngineError: there is no such field, or it takes no such value.
    """
    known = {field.name: getattr(choices, field.name) for field in fields(choices)}
    changes = {}
    for field, text in variant.items():
        if field not in known or not isinstance(known[field], (bool, int, float, str)):
            raise EngineError(f"{whose} has no choice called {field}.", "See the attributes of its dataclass.")
        kind, words = type(known[field]), get_args(get_type_hints(type(choices))[field])
        try:
            changes[field] = {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (KeyError, ValueError) as error:
            raise EngineError(f"{field} cannot be {text}.", f"{whose} takes a {kind.__name__} there.") from error
        if words and changes[field] not in words:
            raise EngineError(f"{field} cannot be {text}.", f"Choose one of: {', '.join(words)}.")
    return replace(choices, **changes)
