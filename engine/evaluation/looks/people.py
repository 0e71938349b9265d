"""Many heads judged at once: their photos found again, one table, one sheet each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from rich.table import Table

from engine.atomic import make_folder
from engine.avatar import Avatar, load
from engine.errors import EngineError, PhotoError
from engine.evaluation.looks import Looks, judge
from engine.evaluation.looks.sheet import write_looks
from engine.photos import load_photos
from engine.photos.load import file_sha256, is_photo_or_clip
from engine.photos.photo import Photo
from engine.progress import Progress


def judge_heads(
    heads: Sequence[Path], photos: Path | None, sheets: Path | None, progress: Progress
) -> dict[str, Looks]:
    """Measure avatar files, by name of file.

    Args:
        photos: a folder; the photos in it and below that a head was made from are known by their sha256.
        sheets: a folder for NAME.png, a contact sheet each.

    Raises:
        AvatarError: a file is missing or damaged. EngineError: two heads have one name. OutputError: no sheet can be
            written. Cancelled: the user asked to stop.
    """
    names = [path.stem for path in heads]
    if len(set(names)) < len(names):
        raise EngineError("Two of the heads have the same name.", "Rename one: the table tells them apart by name.")
    if sheets:
        make_folder(sheets)
    known = _by_content(photos) if photos else {}
    progress.start("looks")
    found = {}
    for done, path in enumerate(heads, start=1):
        avatar = load(path)
        found[path.stem] = judge(avatar, _photos_of(avatar, known))
        if sheets:
            write_looks(avatar, sheets / f"{path.stem}.png")
        progress.update(done / len(heads))
    progress.finish()
    return found


def looks_table(found: Mapping[str, Looks]) -> Table:
    """Heads as rows, measures as columns, their medians last."""
    table = Table("", "lid", "lid p5", "lid step", "iris", "gaze°", "teeth mm", "tongue", "ribbon %", "hatch",
                  "midline", "back", "Laplacian", "CSIM 0", "30", "45", "60")  # fmt: skip
    rows = {name: _row(looks) for name, looks in found.items()}
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.3g}" for value in row))
    table.add_section()
    columns = [[value for value in column if not math.isnan(value)] for column in zip(*rows.values(), strict=True)]
    middle = [median(known) if known else math.nan for known in columns]
    table.add_row("median", *(f"{value:.3g}" for value in middle))
    return table


def _row(looks: Looks) -> list[float]:
    values = [value for name, value in vars(looks).items() if name != "csim"]
    return [*values, *looks.csim.values()]


def _by_content(folder: Path) -> dict[str, Path]:
    """sha256 -> path of every photo below a folder."""
    if not folder.is_dir():
        raise PhotoError(f"{folder} is not a folder.", "Give the folder in which the heads' photos lie.")
    return {file_sha256(path): path for path in sorted(folder.rglob("*")) if path.is_file() and is_photo_or_clip(path)}


def _photos_of(avatar: Avatar, known: Mapping[str, Path]) -> list[Photo]:
    """Those that are at hand, under the names that the avatar's views know them by."""
    names = {entry["sha256"]: entry["name"] for entry in avatar.provenance["photos"] if entry.get("sha256") in known}
    if not names:
        return []
    loaded = load_photos([known[content] for content in names], Progress()).photos
    return [photo if "#" in photo.name else replace(photo, name=names[photo.sha256]) for photo in loaded]
