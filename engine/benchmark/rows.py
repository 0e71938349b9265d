"""A table of measurements that survives an interruption: rows that are done are read from a file, not run again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from engine.atomic import atomic_write
from engine.errors import Cancelled, EngineError
from engine.progress import Progress

LARGEST_FILE = 4_000_000  # bytes; a full table has some ten thousand


@dataclass(frozen=True)
class Task:
    """One row to measure.

    Attributes:
        name: unique.
        measure: gives the row's figures by name; units are in the names.
        own_memory: the figures tell of memory themselves, part by part; the row has no peak then.
    """

    name: str
    measure: Callable[[], Mapping[str, float]]
    own_memory: bool = False


@dataclass(frozen=True)
class Row:
    """One measured row.

    Attributes:
        name: of its task.
        setting: device and versions it was measured with.
        figures: what was measured; empty after an error.
        peak_gb: 10⁹ bytes of tensors on the CUDA device at most, weights and inputs included; None on a CPU and
            for figures that tell of memory themselves.
        error: why there are no figures, or None.
    """

    name: str
    setting: Mapping[str, str]
    figures: Mapping[str, float]
    peak_gb: float | None
    error: str | None


def run(
    tasks: Sequence[Task], path: Path, setting: Mapping[str, str], device: torch.device, progress: Progress
) -> list[Row]:
    """Measure what is not in the file yet and keep the file up to date, row by row.

    A row counts as done when it has figures for the same setting; a row that failed is tried again.

    Args:
        path: of the JSON file; need not exist.

    Raises:
        EngineError: the file is not such a table. OutputError: it cannot be written. Cancelled: the user asked to stop;
            rows that are done stay.
    """
    done = read(path)
    for number, task in enumerate(tasks):
        progress.update(number / len(tasks))
        known = done.get(task.name)
        if known and known.setting == setting and known.error is None:
            continue
        done[task.name] = _measured(task, setting, device)
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps([asdict(row) for row in done.values()], indent=1) + "\n")
    return [done[task.name] for task in tasks]


def read(path: Path) -> dict[str, Row]:
    """The rows of a file by name; none where there is no file."""
    if not path.exists():
        return {}
    broken = EngineError(f"{path.name} is no table of this benchmark.", "Choose another folder, or delete the file.")
    if path.stat().st_size > LARGEST_FILE:
        raise broken
    try:
        rows = [Row(**entry) for entry in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:  # not JSON, not text, or other fields
        raise broken from error
    if not all(isinstance(row.name, str) and isinstance(row.figures, dict) for row in rows):
        raise broken
    return {row.name: row for row in rows}


def _measured(task: Task, setting: Mapping[str, str], device: torch.device) -> Row:
    gpu = device.type == "cuda"
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        figures, error = dict(task.measure()), None
    except Cancelled:
        raise
    except Exception as failure:  # whatever it is belongs into the row, and the next row may still work
        said = str(failure).strip()
        figures, error = {}, f"{type(failure).__name__}: {said.splitlines()[0] if said else 'no message'}"
    peak = torch.cuda.max_memory_allocated(device) / 1e9 if gpu and not task.own_memory else None
    return Row(task.name, setting, figures, peak, error)


def markdown(rows: Sequence[Row], published: Mapping[str, str]) -> str:
    """The rows as a table for a page; ``published`` by the name of the row."""
    lines = ["| row | measured | peak GB | published |", "| --- | --- | --- | --- |"]
    for row in rows:
        peak = "" if row.peak_gb is None else f"{row.peak_gb:.1f}"
        lines.append(f"| {row.name} | {told(row)} | {peak} | {published.get(row.name, '')} |")
    return "\n".join(lines) + "\n"


def told(row: Row) -> str:
    """A row's figures, or its error, in one line."""
    if row.error is not None:
        return f"failed: {row.error}".replace("|", "/")
    return ", ".join(f"{name} {value:.3g}" for name, value in row.figures.items())
