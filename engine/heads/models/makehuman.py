"""The default head, built from MakeHuman's data (CC0); see :mod:`engine.heads.makehuman`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.assets.pins import packages
from engine.heads.parametric import ParametricHead
from engine.heads.spec import HeadModelSpec


def _pins(file: Path | None) -> bytes:
    return repr([(package.name, package.sha256) for package in packages() if package.group == "engine"]).encode()


def _build(file: Path | None, default: Callable[[], ParametricHead]) -> ParametricHead:
    from engine.heads.makehuman import build  # brings scipy's larger parts, for whoever has no cache yet

    return build()


SPEC = HeadModelSpec(
    name="makehuman",
    label="MakeHuman",
    description="The default head, from MakeHuman's data. May be used for anything",
    version=1,
    depends_on=_pins,
    build=_build,
    order=0,
)
