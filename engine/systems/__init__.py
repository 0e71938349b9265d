"""The systems by name: every module of this package is one, and says what it is in its ``SPEC``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from engine.errors import EngineError
from engine.heads.parametric import ParametricHead
from engine.models.learned.system import LearnedSystem
from engine.models.spec import NetworkSpec, SystemSpec
from engine.registry import discover

DEFAULT_SYSTEM = "surface"


@lru_cache(maxsize=1)
def systems() -> Mapping[str, SystemSpec]:
    """Every system by its name, in the order of lists."""
    return discover(__name__, __path__)


def networks() -> Mapping[str, NetworkSpec]:
    """Those with weights."""
    return {name: spec.network for name, spec in systems().items() if spec.network is not None}


def system(name: str) -> SystemSpec:
    """Raises: EngineError: there is no system of that name."""
    if name not in systems():
        raise EngineError(f"There is no system called {name}.", f"Choose one of: {', '.join(systems())}.")
    return systems()[name]


def network(name: str) -> NetworkSpec:
    """Raises: EngineError: no network has that name."""
    if name not in networks():
        raise EngineError(f"There is no network called {name}.", f"Choose one of: {', '.join(networks())}.")
    return networks()[name]


def make_system(name: str, preset: str, head: ParametricHead, variant: Mapping[str, str]) -> LearnedSystem:
    """A network with fresh weights; see :meth:`NetworkSpec.build`."""
    return network(name).build(preset, head, variant)
