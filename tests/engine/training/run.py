"""A training process for the tests: a tiny network learns a known linear map."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.training.config import TrainConfig
from engine.training.loop import train

TRUE = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])


class Linear(nn.Module):
    """Learns ``TRUE`` from random points. Batch norm and dropout are there for their buffers and their randomness.

    Args:
        regular: False leaves them out, so that the map can be learned exactly.
        kill_at: the step at which the process kills itself, without a word.
        broken: the first step whose loss is NaN; the four after it are so too.
        pause: seconds that a step takes.
    """

    def __init__(self, regular: bool = True, kill_at: int = -1, broken: int = -9, pause: float = 0.0):
        super().__init__()
        torch.manual_seed(0)
        extras = [nn.BatchNorm1d(3), nn.Dropout(0.2)] if regular else []
        self.network = nn.Sequential(*extras, nn.Linear(3, 2))
        self.kill_at, self.broken, self.pause = kill_at, broken, pause

    def data(self, start: int, rank: int, world: int) -> Iterator[list]:
        step = start
        while True:
            random = torch.Generator().manual_seed(1000 * step + rank)
            yield [torch.randn(8, 3, generator=random)]
            step += 1

    def forward(self, batch: list, step: int) -> dict[str, Tensor]:
        if step == self.kill_at:
            psutil.Process().kill()
        time.sleep(self.pause)
        error = (self.network(batch[0]) - batch[0] @ TRUE.T).square().mean()
        factor = float("nan") if 0 <= step - self.broken < 5 else 1.0
        return {"near": 0.5 * factor * error, "far": 0.5 * error, "metric/error": error.sqrt()}


if __name__ == "__main__":
    folder, settings, choices = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
    objective = Linear(**choices)
    train(TrainConfig("linear", folder, threads=1, **settings), objective)
    rank = os.environ.get("RANK", "0")
    save_file(objective.network.state_dict(), folder / f"rank{rank}.safetensors")
