"""``export``: an avatar as .ply or .splat for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine import avatar
from engine.commands.shared import check_output, expression
from engine.formats.splats import splat_formats, write_splats
from engine.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("avatar", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help=_kinds())
    parser.add_argument("--expression", nargs="*", default=[], metavar="KEY=WEIGHT")


def _kinds() -> str:
    return "; ".join(f".{name}: {found.label}" for name, found in splat_formats().items())


def run(options: argparse.Namespace, progress: Progress) -> None:
    check_output(options.output, tuple(f".{name}" for name in splat_formats()))
    splats = avatar.drive(avatar.load(options.avatar), expression(options.expression))
    write_splats(splats, options.output)
