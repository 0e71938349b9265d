"""FLAME 2020, 2023 and 2023 Open, from a file that the user obtained; see :mod:`engine.heads.flame`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.heads.flame_file import read_bytes
from engine.heads.models.makehuman import SPEC as MAKEHUMAN
from engine.heads.parametric import ParametricHead
from engine.heads.spec import HeadModelSpec


def _content(file: Path | None) -> bytes:
    assert file is not None
    return f"{MAKEHUMAN.version} ".encode() + MAKEHUMAN.depends_on(None) + read_bytes(file)


def _build(file: Path | None, default: Callable[[], ParametricHead]) -> ParametricHead:
    from engine.heads.flame import load_flame  # as MakeHuman's

    assert file is not None
    return load_flame(file, default())


SPEC = HeadModelSpec(
    name="flame",
    label="FLAME",
    description="A FLAME model from a file of yours, under the terms of that file",
    version=1,
    depends_on=_content,
    build=_build,
    suffixes=(".pkl", ".npz"),
    order=1,
)
