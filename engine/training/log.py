"""A run's figures: rows in ``metrics.jsonl``, the same in TensorBoard's format."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from engine.atomic import atomic_write

METRICS, BOARD = "metrics.jsonl", "tensorboard"


class Log:
    """Appends rows. What a killed run logged after its last checkpoint is dropped: it will be logged again.

    Args:
        folder: of the run.
        step: of the checkpoint from which the run goes on.

    Raises:
        OutputError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, step: int):
        path = folder / METRICS
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= step]
        with atomic_write(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept), "utf-8")
        self._rows = path.open("a", encoding="utf-8", buffering=1)
        self._board = SummaryWriter(folder / BOARD, purge_step=step + 1)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._rows.close()
        self._board.close()

    def write(self, step: int, figures: dict[str, float]) -> None:
        """One row: ``{"step": step, **figures}``."""
        self._rows.write(json.dumps({"step": step} | figures) + "\n")
        for name, value in figures.items():
            self._board.add_scalar(name, value, step)


def _lines(path: Path) -> list[str]:
    """The whole lines; a kill may have cut the last one."""
    if not path.exists():
        return []
    return path.read_text("utf-8").rpartition("\n")[0].splitlines()
