"""``import``: a head of another program's to an avatar file."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from engine import avatar
from engine.atomic import atomic_write
from engine.commands.shared import avatar_name, check_output, say
from engine.errors import EngineError
from engine.exchange.importing import head_imports, import_head
from engine.exchange.incoming import Wanted
from engine.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = "; ".join(f"{spec.label} ({' '.join(spec.suffixes)})" for spec in head_imports().values())
    parser.add_argument("file", type=Path, help=kinds)
    parser.add_argument("-o", "--output", type=Path, required=True, help="avatar file to write (.npz)")
    parser.add_argument("--name", help="the avatar's name (default: the output's)")
    parser.add_argument("--head", type=Path, metavar="FLAME", help="your FLAME file, for heads that lie on it")
    parser.add_argument("--performance", type=Path, metavar="CSV", help="also write the take that came with the head")


def run(options: argparse.Namespace, progress: Progress) -> None:
    check_output(options.output, (".npz",))
    if options.performance:
        check_output(options.performance, (".csv",))
    made = import_head(options.file, Wanted(avatar_name(options), options.head), progress)
    if options.performance and made.take is None:
        raise EngineError(f"{options.file.name} holds no performance.", "Leave --performance out.")
    avatar.save(made.avatar, options.output)
    if options.performance and made.take is not None:
        _write(made.take, options.performance)
    for note in made.notes:
        say(f"Note: {note}")


def _write(take: Mapping[str, np.ndarray], path: Path) -> None:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(take)
        writer.writerows([f"{value:.6f}" for value in row] for row in zip(*take.values(), strict=True))
