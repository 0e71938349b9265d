"""What a training run is: the choices of a user, and the numbers that every run shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from engine.device import AUTO, check_wanted
from engine.errors import EngineError

SAME_RUN = ("system", "preset", "variant", "seed", "batch_size")  # what a run may not change when it goes on


@dataclass(frozen=True)
class TrainConfig:
    """One run. The optimizer's numbers are common ones for transformers (ours; the papers differ and say little).

    Attributes:
        system: one of the learned systems. preset: its size.
        out: the run's folder.
        steps: optimizer steps. minutes: wall-clock budget, all starts of the run together. One of them is needed; with
            both, the run ends at whichever comes first, and the learning rate follows whichever is further.
        seed: of weights, data and dropout.
        learning_rate: its peak. warm_up: part of the run (0..1) in which it rises; then it falls in a cosine to
            ``final_rate`` of the peak.
        workers: processes that prepare data; 0: the training process itself.
        samples: folder of rendered samples; None: they are rendered while training.
        variant: ablations of the method, name -> value. data: of what it sees, see :class:`engine.training.data.Data`.
        batch_size: people per step and process.
        threads: torch's; 0 leaves them as they are. Only one thread repeats a run bit by bit.
        device: "auto", "cpu", "cuda" or "cuda:1" and so on; a run may go on elsewhere than it began.
        betas, weight_decay: of AdamW; only matrices decay.
        clip: largest norm of all gradients together.
        ema_decay: of the weights' running average, once warm.
        patience: steps without a finite loss and gradient, one after another, until the run gives up.
        checkpoint_seconds, log_steps, say_seconds: how often a checkpoint, a row of the log, and a line are written.
    """

    system: str
    out: Path
    preset: str = "small"
    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    learning_rate: float = 3e-4
    workers: int = 0
    samples: Path | None = None
    variant: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    batch_size: int = 2
    threads: int = 0
    device: str = AUTO
    warm_up: float = 0.03
    final_rate: float = 0.02
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    clip: float = 1.0
    ema_decay: float = 0.999
    patience: int = 100
    checkpoint_seconds: float = 120.0
    log_steps: int = 20
    say_seconds: float = 20.0

    def __post_init__(self) -> None:
        check_wanted(self.device)
        if self.steps is None and self.minutes is None:
            raise EngineError("The training has no end.", "Give --steps, --minutes or both.")
        amounts = [n for n in (self.steps, self.minutes, self.learning_rate, self.batch_size) if n is not None]
        if min(amounts) <= 0 or not all(map(math.isfinite, amounts)) or self.seed < 0 or self.workers < 0:
            raise EngineError(
                "There is nothing to train.",
                "Steps, minutes, learning rate and batch size are above 0; seed and workers start at 0.",
            )

    def fraction(self, step: int, seconds: float) -> float:
        """How much of the run is behind, 0..1, after ``step`` steps and ``seconds`` of work."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def rate(self, fraction: float) -> float:
        """The learning rate at that fraction of the run."""
        if fraction < self.warm_up:
            return self.learning_rate * fraction / self.warm_up
        falling = (fraction - self.warm_up) / (1 - self.warm_up)
        low = self.final_rate
        return self.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * falling)))

    def to_json(self) -> dict:
        """As plain JSON values."""
        plain = asdict(self) | {"out": str(self.out), "samples": str(self.samples) if self.samples else None}
        return plain | {"betas": list(self.betas), "variant": dict(self.variant), "data": dict(self.data)}
