"""``train``: a learned system, from the start or on from where it was stopped."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.commands.options import add_device_option
from engine.commands.shared import listed, say
from engine.errors import EngineError
from engine.progress import Progress
from engine.systems import networks
from engine.training.config import TrainConfig
from engine.training.loop import train
from engine.training.objective import Objective


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", required=True, help=listed(tuple(networks())))
    parser.add_argument("--preset", default="small", help="the network's size (default: small)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.add_argument("--steps", type=int, metavar="N", help="length of the run")
    parser.add_argument("--minutes", type=float, help="wall-clock budget, instead of --steps or beside it")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--learning-rate", type=float, default=3e-4, metavar="RATE", help="its peak (default 3e-4)")
    parser.add_argument("--batch-size", type=int, default=2, metavar="B", help="people per step (default 2)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that prepare data (default 0)")
    parser.add_argument("--samples", type=Path, metavar="DIR", help="rendered samples to train on")
    parser.add_argument("--variant", action="append", default=[], metavar="NAME=VALUE", help="an ablation; repeatable")
    add_device_option(parser, "of the network and its pictures")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=VALUE", help="another choice of data")


def run(options: argparse.Namespace, progress: Progress) -> None:
    variant, data = _choices(options.variant), _choices(options.data)
    names = ("system", "out", "preset", "steps", "minutes", "seed", "learning_rate", "workers", "samples")
    names += ("batch_size", "device")
    config = TrainConfig(**{name: getattr(options, name) for name in names}, variant=variant, data=data)
    torch.manual_seed(config.seed)  # of the network's first weights
    objective = Objective(config.system, config.preset, config)
    weights = train(config, objective, functools.partial(say, soft_wrap=True), progress)
    say(f"The weights are in {weights}")


def _choices(words: Sequence[str]) -> dict[str, str]:
    """Values by name, of words NAME=VALUE.

    Raises:
        EngineError: a value is missing.
    """
    choices = {name: value for name, _, value in (word.partition("=") for word in words)}
    if not all(choices.values()):
        raise EngineError("A choice has no value.", "Write --variant NAME=VALUE, for example position_skip=false.")
    return choices
