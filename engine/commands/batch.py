"""``batch``: a folder of people to a folder of avatars."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.table import Table
from rich.text import Text

from engine.batch import find_people, left_out, reconstruct_people
from engine.commands.options import add_options, chosen
from engine.commands.shared import CONSOLE, say
from engine.errors import EngineError
from engine.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="every subfolder with photos, and every single photo, is one person")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for NAME.npz")
    parser.add_argument("--frames", type=int, default=4, metavar="N", help="frames taken from each clip (default 4)")
    parser.add_argument(
        "--blender", type=Path, metavar="PATH", help="Blender with the extension: also write NAME.blend"
    )
    add_options(parser)


def run(options: argparse.Namespace, progress: Progress) -> None:
    people = find_people(options.folder)
    outcomes = reconstruct_people(people, options.output, chosen(options), options.blender, progress)
    table = Table("person", "photos", "seconds", "result")
    for outcome in outcomes:
        said = " ".join([outcome.error or "done", *outcome.notes])
        table.add_row(Text(outcome.name), str(outcome.photos), f"{outcome.seconds:.0f}", Text(said))
    CONSOLE.print(table)
    for path in left_out(options.folder, people):
        say(f"Not read: {path}")
    failed = sum(bool(outcome.error) for outcome in outcomes)
    if failed:
        raise EngineError(f"{failed} of {len(outcomes)} people failed.", "The table says why; the others are done.")
