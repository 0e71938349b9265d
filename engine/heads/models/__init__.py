"""The head models: every module of this package is one, and says what it is in its ``SPEC``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from engine.heads.spec import HeadModelSpec
from engine.registry import discover

FILE_MODEL = "flame"  # whose reader says what is wrong with a file that no model claims


@lru_cache(maxsize=1)
def head_models() -> Mapping[str, HeadModelSpec]:
    """Every head model by its name, in the order of lists."""
    return discover(__name__, __path__)


def built_in() -> list[str]:
    """Names of the models that come with the engine and need no file."""
    return [name for name, spec in head_models().items() if not spec.suffixes]


def model_of(source: str | Path) -> tuple[HeadModelSpec, Path | None]:
    """The model that ``source`` asks for, and the file that it is to be read from: a name, or the path of a file."""
    named = head_models().get(str(source))
    if named is not None and not named.suffixes:
        return named, None
    path = Path(source)
    claims = (spec for spec in head_models().values() if path.suffix.lower() in spec.suffixes)
    return next(claims, head_models()[FILE_MODEL]), path
