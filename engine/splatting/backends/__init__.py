"""The rasterisers: every module of this package is one, and says what it is in its ``SPEC``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from engine.errors import EngineError
from engine.registry import discover
from engine.splatting.spec import BackendSpec


@lru_cache(maxsize=1)
def backends() -> Mapping[str, BackendSpec]:
    """Every rasteriser by its name, in the order of lists."""
    return discover(__name__, __path__)


def backend_for(device: str) -> BackendSpec:
    """Args: device: torch's type of a tensor's device.

    Raises:
        EngineError: nothing draws there.
    """
    for spec in backends().values():
        if spec.device == device:
            return spec
    known = " or ".join(dict.fromkeys(spec.device for spec in backends().values()))
    raise EngineError(f"No rasteriser draws on the device '{device}'.", f"Use {known}.")
