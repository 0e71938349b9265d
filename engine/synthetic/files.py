"""Writes synthetic heads for people to look at, and for other programs to read."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
from PIL import Image

from engine.atomic import atomic_write, make_folder
from engine.progress import Progress
from engine.synthetic.samples import SyntheticSample, sample

SHEET = "sheet.png"
SHEET_WIDTH = 12  # pictures side by side, at most


def synthesise(
    folder: Path, seed: int, count: int, views: int, size: int, same_expression: bool, progress: Progress
) -> list[Path]:
    """Write people ``seed`` to ``seed + count - 1``: ``00042_0.png`` per view (RGBA), ``00042.npz`` with all fields of
    :class:`SyntheticSample`, and a sheet of all.

    Returns:
        The files, the sheet last.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    make_folder(folder)
    progress.start("heads")
    written, rows = [], []
    for number in range(count):
        one = sample(seed + number, views, size, same_expression)
        rows.append(np.concatenate(list(one.rgb), axis=1))
        for view in range(views):
            written.append(folder / f"{one.seed:05d}_{view}.png")
            _write_png(written[-1], cut_out(one, view))
        written.append(folder / f"{one.seed:05d}.npz")
        with atomic_write(written[-1]) as temporary, temporary.open("wb") as file:
            arrays = {field.name: getattr(one, field.name) for field in fields(SyntheticSample)}
            np.savez_compressed(file, allow_pickle=False, **arrays)
        progress.update((number + 1) / count)
    written.append(folder / SHEET)
    _write_png(written[-1], sheet(rows))
    progress.finish()
    return written


def cut_out(one: SyntheticSample, view: int) -> np.ndarray:
    """[S, S, 4] one view without its background: straight colours and alpha."""
    alpha = one.alpha[view][..., None]
    colours = (one.rgb[view] - (1 - alpha) * one.background) / np.maximum(alpha, 1e-6)
    return np.concatenate([np.where(alpha > 0, colours, 0), alpha], axis=-1)


def sheet(rows: list[np.ndarray]) -> np.ndarray:
    """Pictures [S, N·S, 3] of N views each, side by side as far as :data:`SHEET_WIDTH` allows, then below."""
    size, width, _ = rows[0].shape
    columns = max(1, SHEET_WIDTH * size // width)
    while len(rows) % columns and len(rows) > columns:
        rows = [*rows, np.ones_like(rows[0])]
    lines = [np.concatenate(rows[i : i + columns], axis=1) for i in range(0, len(rows), columns)]
    return np.concatenate(lines)


def _write_png(path: Path, picture: np.ndarray) -> None:
    with atomic_write(path) as temporary:
        Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)).save(temporary)
