"""A run's figures: rows in ``metrics.jsonl``, the same in TensorBoard's format."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from engine.atomic import atomic_write
from engine.errors import OutputError

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
        self._rows = path.open("ab", buffering=0)  # a full disk shows at once, not when the file is closed
        self._board = SummaryWriter(folder / BOARD, purge_step=step + 1)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._rows.close()
        try:
            self._board.close()
        except OSError as failed:
            if error is None:  # otherwise the same full disk has been reported already
                raise _full(BOARD) from failed

    def write(self, step: int, figures: dict[str, float]) -> None:
        """One row: ``{"step": step, **figures}``.

        Raises:
            OutputError: the disk is full.
        """
        row = f"{json.dumps({'step': step} | figures)}\n".encode()
        try:
            whole = self._rows.write(row) == len(row)
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)
        except OSError as error:
            raise _full(METRICS) from error
        if not whole:
            raise _full(METRICS)


def _full(name: str) -> OutputError:
    return OutputError(
        f"The run's figures do not fit into {name}: the disk is full.",
        "Free some space; the same command goes on from the last checkpoint.",
    )


def _lines(path: Path) -> list[str]:
    """The whole lines; a kill may have cut the last one."""
    if not path.exists():
        return []
    return path.read_text("utf-8").rpartition("\n")[0].splitlines()
