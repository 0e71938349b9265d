"""A run's files: the state from which it goes on, and the weights that it is for. Both safetensors, never pickle."""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

import engine
from engine.atomic import atomic_write
from engine.errors import EngineError
from engine.tensor_files import UNREADABLE, describe
from engine.training.config import SAME_RUN, TrainConfig

STATE, PREVIOUS, WEIGHTS = "state.safetensors", "previous.safetensors", "weights.safetensors"


@dataclass(frozen=True)
class Tally:
    """What a run has behind it.

    Attributes:
        step: steps, the skipped ones too. seconds: wall clock, all starts together.
        skipped: steps without a finite loss and gradient. in_a_row: of these, since the last good step.
        losses: name -> value, smoothed over about fifty steps; "total" is their sum.
    """

    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    in_a_row: int = 0
    losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Learner:
    """The tensors of a run: the network, the running average of its trained parameters (by name), the optimizer.

    Randomness has no state here: every step seeds its own (see :mod:`engine.training.loop`).
    """

    network: nn.Module
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer

    def tensors(self) -> dict[str, Tensor]:
        """All of them in one flat dict: ``network/NAME``, ``average/NAME``, ``optimizer/FIELD/NAME``."""
        flat = {f"network/{name}": t for name, t in self.network.state_dict().items()}
        flat |= {f"average/{name}": t for name, t in self.average.items()}
        for name, parameter in self.network.named_parameters():
            for key, tensor in self.optimizer.state.get(parameter, {}).items():
                flat[f"optimizer/{key}/{name}"] = tensor
        return flat

    def restore(self, flat: dict[str, Tensor]) -> None:
        """The reverse of :meth:`tensors`.

        Raises:
            ValueError: names or shapes are not this network's.
        """
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
        for path, tensor in flat.items():
            group, _, name = path.partition("/")
            groups[group][name] = tensor  # an unknown group is a KeyError, which callers take for damage
        network = self.network.state_dict()
        for there, here in ((groups["network"], network), (groups["average"], self.average)):
            if {k: t.shape for k, t in there.items()} != {k: t.shape for k, t in here.items()}:
                raise ValueError("names or shapes of another network")
        self.network.load_state_dict(groups["network"])
        with torch.no_grad():
            for name, tensor in self.average.items():
                tensor.copy_(groups["average"][name])
        parameters = dict(self.network.named_parameters())
        for path, tensor in groups["optimizer"].items():
            key, _, name = path.partition("/")
            parameter = parameters[name]
            if tensor.ndim and tensor.shape != parameter.shape:
                raise ValueError("an optimizer of another network")
            self.optimizer.state[parameter][key] = tensor.to(parameter.device)


def save_state(learner: Learner, tally: Tally, config: TrainConfig) -> None:
    """Write the run's state. The state before it stays as :data:`PREVIOUS`, also when the disk is full.

    Raises:
        OutputError: it cannot be written.
    """
    state = config.out / STATE
    if state.exists():
        os.replace(state, config.out / PREVIOUS)
    about = {"tally": json.dumps(asdict(tally), allow_nan=False), "config": json.dumps(config.to_json())}
    _write(state, learner.tensors(), about)


def load_state(learner: Learner, config: TrainConfig) -> Tally:
    """Take the run's newest state into the learner. A folder without one is a run at its start.

    Raises:
        EngineError: the state is damaged or another run's. The learner is then of no use; the files are untouched.
    """
    # Killed between the two steps of a save, a run has only its previous state, which is whole.
    path = next((p for p in (config.out / STATE, config.out / PREVIOUS) if p.exists()), None)
    if path is None:
        return Tally()
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tally = Tally(**json.loads(about["tally"]))
            before: dict[str, Any] = json.loads(about["config"])
            _check_same_run(before, config)
            learner.restore({name: file.get_tensor(name) for name in file.keys()})
    except UNREADABLE as error:
        spare = path.name == STATE and (config.out / PREVIOUS).exists()
        raise EngineError(
            f"The checkpoint {path} is damaged ({error}).",
            f"Delete it to go on from {PREVIOUS} beside it."
            if spare
            else "Delete it, or choose another folder, to start anew.",
        ) from error
    return tally


def save_weights(learner: Learner, tally: Tally, config: TrainConfig, processes: int) -> None:
    """Write the averaged parameters in float16; buffers stay as they are.

    The metadata's ``provenance`` is JSON: system, preset, variant, seed, steps, skipped, samples (people seen),
    minutes, device, threads, processes, batch_size, learning_rate, losses (smoothed, at the end), engine, torch, date.

    Raises:
        OutputError: the file cannot be written.
    """
    parameters = {name for name, _ in learner.network.named_parameters(remove_duplicate=False)}
    tensors = {
        name: (learner.average[name] if name in learner.average else tensor).half() if name in parameters else tensor
        for name, tensor in learner.network.state_dict().items()
    }
    device = next(learner.network.parameters()).device
    provenance = {
        "system": config.system,
        "preset": config.preset,
        "variant": dict(config.variant),
        "seed": config.seed,
        "steps": tally.step,
        "skipped": tally.skipped,
        "samples": tally.step * config.batch_size * processes,
        "minutes": round(tally.seconds / 60, 2),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "processes": processes,
        "batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "losses": tally.losses,
        "engine": engine.__version__,
        "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    _write(config.out / WEIGHTS, tensors, {"provenance": describe(**provenance)})


def _check_same_run(before: dict[str, Any], config: TrainConfig) -> None:
    now = config.to_json()
    other = [name for name in SAME_RUN if before[name] != now[name]]
    if other:
        raise EngineError(
            f"The folder {config.out} holds a run with another {', '.join(other)}.",
            "Choose another folder, or give the same options as before.",
        )


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    # Copies: safetensors refuses tensors that share memory. Bytes: its own writer hides that a disk is full.
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    data = save(plain, metadata)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
