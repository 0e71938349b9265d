"""The systems by name: every module of this package is one, and says what it is in its ``SPEC``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from engine.errors import EngineError
from engine.heads import DEFAULT
from engine.heads.models import built_in
from engine.heads.parametric import ParametricHead
from engine.models.learned.reconstruct import with_weights
from engine.models.learned.system import LearnedSystem
from engine.models.official.contents import Contents, look_into
from engine.models.spec import CORRESPONDENCES, NetworkSpec, Official, SystemSpec
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


def equipped(name: str, weights: str, head: str, correspondence: str) -> SystemSpec:
    """A system with the weights and for the head model that a user chose. Reads files' headers only.

    Args:
        weights: a file's path; "" for those that come with the engine. head: a head model's name or file.
        correspondence: one of :data:`engine.models.spec.CORRESPONDENCES`, for official weights.

    Raises:
        EngineError: these do not go together.
    """
    spec = system(name)
    if not weights:
        if spec.network is not None and head != DEFAULT:
            raise EngineError(
                f"The network {name} was trained on the default head alone.",
                f"Choose the system {DEFAULT_SYSTEM}, or the default head.",
            )
        _no_correspondence(correspondence)
        return spec
    path = Path(weights)
    holds = look_into(path)
    if holds.system not in networks():
        raise EngineError(f"{path.name} is for a system {holds.system}, which is not here.", "Train it again.")
    if holds.system != name:
        raise EngineError(
            f"{path.name} holds weights of {holds.system}, with which {name} cannot run.",
            f"Choose --system {holds.system}.",
        )
    if holds.official:
        official = network(name).official
        if official is None or head in built_in():
            raise EngineError(f"{path.name} was trained on FLAME, not on the head {head}.", f"Give {holds.missing}.")
        stamps = tuple(file.stat().st_mtime_ns for file in (path, Path(head)) if file.is_file())
        return _checked(official, spec, path, holds, head, correspondence, stamps)
    if head != DEFAULT:
        raise EngineError(f"{path.name} was trained on the default head alone.", "Leave --head out.")
    _no_correspondence(correspondence)
    return replace(spec, reconstruct=with_weights(name, network(name), path), adding=None)


@lru_cache(maxsize=4)
def _checked(
    official: Official, spec: SystemSpec, path: Path, holds: Contents, head: str, correspondence: str, stamps: tuple
) -> SystemSpec:
    """What ``official`` says, kept as long as the files stay as they are, since it reads a head model."""
    return official(spec, path, holds, head, correspondence)


def _no_correspondence(chosen: str) -> None:
    if chosen != CORRESPONDENCES[0]:
        raise EngineError("Only official weights have a correspondence to choose.", "Leave --correspondence out.")


def make_system(name: str, preset: str, head: ParametricHead, variant: Mapping[str, str]) -> LearnedSystem:
    """A network with fresh weights; see :meth:`NetworkSpec.build`."""
    return network(name).build(preset, head, variant)
