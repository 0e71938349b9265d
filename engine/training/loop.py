"""The training loop: steps, schedule, checkpoints and figures; on a processor, a graphics card, or many by torchrun."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from engine.atomic import check_writable, make_folder
from engine.device import find_gpu
from engine.errors import Cancelled, EngineError
from engine.progress import Progress
from engine.training.checkpoint import STATE, WEIGHTS, Learner, load_state, save_state, save_weights
from engine.training.config import TrainConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from engine.training.log import Log

METRIC = "metric/"
SMOOTHING = 0.98  # of the losses in log and provenance


class Trained(Protocol):
    """What can be trained: a module that turns a batch into losses.

    Attributes:
        network: the only part whose parameters are trained, float32.
    """

    network: nn.Module

    def data(self, start: int, rank: int, world: int) -> Iterator[list]:
        """Endless batches from step ``start`` on, for process ``rank`` of ``world``; the same at every call."""
        ...

    def forward(self, batch: list, step: int) -> dict[str, Tensor]:
        """Scalar losses, weighted: their sum is minimised. Names that start with "metric/" are only logged."""
        ...


class Stopped(Cancelled):
    """The user stopped the training; its state is on the disk."""

    def __init__(self, step: int) -> None:
        EngineError.__init__(self, f"Stopped after {step} steps.", "The same command goes on from there.")


def train(
    config: TrainConfig,
    objective: nn.Module,
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> Path:
    """Train ``objective.network``, or go on where the folder's last checkpoint is, and write its averaged weights.

    Every step seeds torch from the run's seed, its own number and the process, so that a run which was killed and
    started again is the run that was not killed, bit by bit on one thread, as long as it counts steps and not minutes.
    Losses and gradients that are not finite cost their step only. The network goes to the device, and a batch follows
    it in ``forward``; what runs in bfloat16 there is the objective's choice, on every device the same.

    Args:
        config: the run.
        objective: a module that is :class:`Trained`.
        say: takes a line for the user, about every ``config.say_seconds``; called in the first process only.
        progress: told the run's fraction; a cancelled run writes its state first.

    Returns:
        The file of weights (see :func:`engine.training.checkpoint.save_weights`).

    Raises:
        EngineError: a library is missing, another process trains in the folder, or the checkpoint is damaged or another
            run's, or nothing was finite for ``config.patience`` steps, or the card's memory does not suffice: the state
            is on the disk then, and another device can go on from it.
        OutputError: the folder cannot be written.
        Stopped: cancelled.
    """
    device = find_gpu(config.device)
    fabric = _fabric(device.torch)
    if not fabric.is_global_zero:
        say, progress = (lambda line: None), Progress()
    if config.threads:
        torch.set_num_threads(config.threads)
    say(f"Training on {device.name}. {device.reason}".rstrip())
    with ExitStack() as stack:
        if fabric.is_global_zero:
            stack.enter_context(_folder(config.out))
        fabric.barrier()
        run = _Run(config, fabric, objective)
        if fabric.is_global_zero:
            from engine.training.log import Log  # late: it needs TensorBoard

            run.log = stack.enter_context(Log(config.out, run.tally.step))
        run.steps(say, progress or Progress())
    return config.out / WEIGHTS


class _Run:
    """What the steps of one start share."""

    def __init__(self, config: TrainConfig, fabric: Fabric, objective: nn.Module):
        self.config, self.fabric = config, fabric
        self.objective = cast(Trained, objective)
        network = self.objective.network
        optimizer = torch.optim.AdamW(decay_groups(network, config.weight_decay), betas=config.betas, fused=True)
        self.module, self.wrapped = fabric.setup(_Step(objective), optimizer)
        trained = {n: p for n, p in network.named_parameters(remove_duplicate=False) if p.requires_grad}
        average = {name: parameter.detach().clone() for name, parameter in trained.items()}
        self.trained, self.optimizer = trained, optimizer
        self.learner = Learner(network, average, optimizer)
        self.tally = load_state(self.learner, config)
        self.log: Log | None = None  # the first process keeps it

    def steps(self, say: Callable[[str], None], progress: Progress) -> None:
        """From the last checkpoint to the end."""
        config, fabric = self.config, self.fabric
        batches = self.objective.data(self.tally.step, fabric.global_rank, fabric.world_size)
        before, began = self.tally.seconds, time.monotonic()
        saved, said, said_step = began, began, self.tally.step
        self.objective.network.train()
        progress.start("train")
        while True:
            now = time.monotonic()
            stop = _wants_stop(progress, self._fraction())
            seconds, unsaved, stop = self._agreed(before + now - began, now - saved, stop)
            self.tally = replace(self.tally, seconds=seconds)
            done = self._fraction() >= 1
            if done or stop or unsaved > config.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
            if stop:
                raise Stopped(self.tally.step)
            if done or now - said >= config.say_seconds:
                say(self._line((now - said) / max(1, self.tally.step - said_step)))
                said, said_step = now, self.tally.step
            if done:
                break
            if self._too_large(next(batches)):
                self._save()
                raise EngineError(
                    f"The card's memory does not suffice for a step of {config.batch_size} people.",
                    "The same command with --device cpu goes on; a run with a smaller --batch-size needs a new folder.",
                )
        progress.finish()

    def _too_large(self, batch: list) -> bool:
        """A step, unless the card's memory is too small for it; by the end of this call, the step's is free again."""
        try:
            self._step(batch)
        except torch.cuda.OutOfMemoryError:
            return True
        return False

    def _step(self, batch: list) -> None:
        config, fabric, tally = self.config, self.fabric, self.tally
        rate = config.rate(self._fraction())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(_step_seed(config.seed, tally.step, fabric.global_rank))
        losses = self.module(_Sealed(batch), tally.step)
        total = torch.stack([value for name, value in losses.items() if not name.startswith(METRIC)]).sum()
        fabric.backward(total)
        clip = fabric.clip_gradients(self.module, self.wrapped, max_norm=config.clip, error_if_nonfinite=False)
        norm = cast(Tensor, clip)
        # Every process sees every loss here; gradients are shared already. So all of them skip, or none.
        shared = cast(Tensor, fabric.all_reduce(total.detach(), reduce_op="sum"))
        if bool(torch.isfinite(shared + norm)):
            self.wrapped.step()
            self._average()
            names, values = [*losses, "total"], torch.stack([*losses.values(), total]).tolist()
            figures = dict(zip(names, values, strict=True))
            self.tally = replace(tally, step=tally.step + 1, in_a_row=0, losses=_smoothed(tally.losses, figures))
        else:
            skipped, in_a_row = tally.skipped + 1, tally.in_a_row + 1
            self.tally = replace(tally, step=tally.step + 1, skipped=skipped, in_a_row=in_a_row)
        self.wrapped.zero_grad(set_to_none=True)
        if self.tally.in_a_row >= config.patience:
            raise EngineError(
                f"The training gave no finite loss for {config.patience} steps; it stands at step {self.tally.step}.",
                "Start it anew with a smaller --learning-rate.",
            )
        if self.log and self.tally.step % config.log_steps == 0:
            figures = {"rate": rate, "gradient": float(norm), "skipped": self.tally.skipped, "seconds": tally.seconds}
            self.log.write(self.tally.step, self.tally.losses | figures)

    def _average(self) -> None:
        """The running average follows quickly at first, so that it forgets the random start."""
        step = self.tally.step
        decay = min(self.config.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, average in self.learner.average.items():
                average.lerp_(self.trained[name], 1 - decay)

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            save_state(self.learner, self.tally, self.config)
            save_weights(self.learner, self.tally, self.config, self.fabric.world_size)
        self.fabric.barrier()

    def _fraction(self) -> float:
        return self.config.fraction(self.tally.step, self.tally.seconds)

    def _agreed(self, *numbers: float) -> list[float]:
        """The first process's numbers, in every process: clocks and users differ, decisions must not."""
        mine = torch.tensor(numbers, dtype=torch.float64, device=self.fabric.device)
        mine = mine if self.fabric.is_global_zero else torch.zeros_like(mine)
        return cast(Tensor, self.fabric.all_reduce(mine, reduce_op="sum")).tolist()

    def _line(self, seconds_per_step: float) -> str:
        tally = self.tally
        losses = ", ".join(f"{name} {value:.4g}" for name, value in tally.losses.items())
        rate = self.config.rate(self._fraction())
        skipped = f"; {tally.skipped} skipped" if tally.skipped else ""
        return (
            f"step {tally.step}, {100 * self._fraction():.1f} %, {tally.seconds / 60:.1f} min: {losses}; "
            f"rate {rate:.2g}; {seconds_per_step:.2f} s per step{skipped}"
        )


class _Sealed:
    """A batch in a wrapper, so that Fabric and DDP neither search nor convert it: our dataclasses are
    frozen, and cameras stay float64."""

    def __init__(self, batch: list):
        self.batch = batch


class _Step(nn.Module):
    """What Fabric wraps: one forward pass of the objective."""

    def __init__(self, objective: nn.Module):
        super().__init__()
        self.objective = objective

    def forward(self, sealed: _Sealed, step: int) -> dict[str, Tensor]:
        losses = self.objective(sealed.batch, step)
        # DDP waits for the gradient of whatever comes out with a graph.
        return {name: value.detach() if name.startswith(METRIC) else value for name, value in losses.items()}


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict]:
    """AdamW's parameter groups: matrices of layers decay; norms, biases, gains, tokens and embeddings do not.

    A matrix is a parameter of two or more dimensions whose own name ends in "weight"; learned tokens have other names.
    """
    decaying, others = [], []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            matrix = name.endswith("weight") and parameter.ndim >= 2 and not isinstance(module, nn.Embedding)
            if parameter.requires_grad:
                (decaying if matrix else others).append(parameter)
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _fabric(device: torch.device) -> Fabric:
    """Fabric for this process: one of torchrun's, which has the card of its number, or alone on a device.

    In full precision throughout: geometry needs it, and systems switch to bfloat16 around their networks.
    """
    try:
        import tensorboard  # noqa: F401 - asked for here, used by the log
        from lightning_fabric import Fabric
    except ModuleNotFoundError as error:
        raise EngineError(
            f"Training needs a package that is not installed: {error.name}.",
            'Install the extra "train" in the folder of the engine: python -m pip install -e ".[train]"',
        ) from error
    world, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    fabric = Fabric(
        accelerator=device.type,
        devices=[device.index] if world == 1 and device.index is not None else local,
        num_nodes=world // local,
        strategy="ddp_find_unused_parameters_true" if world > 1 else "auto",
        precision="32-true",
    )
    fabric.launch()
    return fabric


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """The run's folder, held by this process alone."""
    make_folder(folder)
    check_writable(folder / STATE)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise EngineError(
            f"Another process trains in {folder} already.", "Wait for it, stop it, or choose another folder."
        ) from error


def _wants_stop(progress: Progress, fraction: float) -> bool:
    try:
        progress.update(fraction)
    except Cancelled:
        return True
    return False


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> 1)


def _smoothed(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return before | {k: SMOOTHING * before.get(k, value) + (1 - SMOOTHING) * value for k, value in now.items()}
