"""``export``: an avatar as .ply or .splat for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine import avatar
from engine.commands.shared import check_output, expression
from engine.exchange.exporting import export, export_formats
from engine.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("avatar", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help=_kinds())
    parser.add_argument("--expression", nargs="*", default=[], metavar="KEY=WEIGHT")


def _kinds() -> str:
    return "; ".join(f".{name}: {found.label}" for name, found in export_formats().items())


def run(options: argparse.Namespace, progress: Progress) -> None:
    check_output(options.output, tuple(f".{name}" for name in export_formats()))
    export(avatar.load(options.avatar), avatar.Pose(expression(options.expression)), options.output)
