"""``ablate``: the papers' ablations at a tiny size."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

from engine.commands.shared import listed, say
from engine.progress import Progress
from engine.systems import networks
from engine.training.ablation import Study, ablate, markdown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    systems = listed(tuple(networks()))
    parser.add_argument("--system", action="append", metavar="SYSTEM", help=f"only this one: {systems}; repeatable")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the study's folder")
    parser.add_argument("--samples", type=Path, required=True, metavar="DIR", help="rendered samples to train on")
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="of every training (default 300)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of everything (default 3)")
    parser.add_argument("--people", type=int, default=12, metavar="N", help="held-out ones to measure on (default 12)")


def run(options: argparse.Namespace, progress: Progress) -> None:
    study = Study(options.out, options.samples, options.steps, options.seeds, options.people)
    findings = ablate(study, options.system or tuple(networks()), functools.partial(say, soft_wrap=True), progress)
    print(markdown(findings), end="")
