"""Splats of any trainer, which state neither axes nor a unit: turned upright and to a head's size by their face."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.errors import AvatarError
from engine.exchange.facing import AT_FIRST, extent, find_head
from engine.exchange.glb_splats import EXTENSION, read_glb_splats
from engine.exchange.incoming import HeadImport, Imported, Wanted
from engine.exchange.origin import UNKNOWN, origin
from engine.exchange.similarity import Similarity
from engine.exchange.static import KIND, bounded, static_avatar
from engine.formats.foreign import POINT_CLOUD, SPLAT, SPZ, kind_of
from engine.formats.spec import Read
from engine.formats.splats import splat_formats
from engine.formats.viewers import from_file
from engine.heads import load_head
from engine.progress import Progress

KINDS = {POINT_CLOUD: "ply", SPLAT: "splat", SPZ: "spz"}
PLAUSIBLE = (0.05, 2.0)  # metres: a radius of what may be a person whose file is in metres
BOUND = "They are static splats: Bind to Head makes them move."
ADULT = "Upright, front and size are taken from the face, which counts as an adult's."


def _recognise(path: Path, start: bytes) -> bool:
    return _is_glb(start) or kind_of(path) in KINDS


def _is_glb(start: bytes) -> bool:
    return start.startswith(b"glTF") and EXTENSION.encode() in start


def _read(path: Path, wanted: Wanted, progress: Progress) -> Imported:
    progress.start("file")
    found, axes = _file(path)
    splats = found.splats
    head = load_head()
    progress.start("face")
    placing, said = find_head(splats, head, progress), ADULT
    if placing is None:
        splats = from_file(splats, axes)
        placing, said = _as_stated(*extent(splats))
    splats = placing.splats(splats)
    progress.finish()
    kept = bounded(splats)
    notes = [said, *found.notes, BOUND]
    if left := len(splats.means) - len(kept.means):
        notes.append(f"{left} splats far away from the head are left out.")
    made = static_avatar(kept, head, wanted.name, origin(path, KIND, KIND, UNKNOWN, notes))
    return Imported(made, tuple(notes))


def _file(path: Path) -> tuple[Read, str]:
    """What a file holds, in its own axes, and which these are."""
    if (kind := kind_of(path)) in KINDS:
        spec = splat_formats()[KINDS[kind]]
        return spec.read(path), spec.axes
    return Read(read_glb_splats(path)), "gltf"


def _as_stated(middle: np.ndarray, radius: float) -> tuple[Similarity, str]:
    """Where splats without a face go, and what is said of it."""
    scale = 1.0 if PLAUSIBLE[0] < radius < PLAUSIBLE[1] else AT_FIRST / radius
    size = "they keep their size" if scale == 1.0 else f"they are made about {2 * AT_FIRST:.1f} m wide"
    if not np.isfinite(scale):
        raise AvatarError("All splats are in one place.", "Save the scene again.")
    said = (
        f"No face was found in the splats: upright is as most trainers write it, and {size}. Turn and scale the head."
    )
    return Similarity(scale, np.eye(3), -scale * middle), said


SPEC = HeadImport(
    name="splats",
    label="Gaussian splats",
    suffixes=(".ply", ".splat", ".spz", ".glb"),
    recognise=_recognise,
    read=_read,
    order=10,
)
