"""The engine's own avatar file, so that whatever is dropped can be handed to one function."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

from engine.avatar import load
from engine.exchange.incoming import HeadImport, Imported, Wanted
from engine.progress import Progress


def _recognise(path: Path, start: bytes) -> bool:
    if not start.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {"version.npy", "metadata.npy"} <= set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _read(path: Path, wanted: Wanted, progress: Progress) -> Imported:
    return Imported(replace(load(path), name=wanted.name))


SPEC = HeadImport("avatar", "Gaussian Head", (".npz",), _recognise, _read, order=0)
