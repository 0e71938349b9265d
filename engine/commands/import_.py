"""``import``: a head of another program's to an avatar file."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine import avatar
from engine.commands.shared import avatar_name, check_output, say
from engine.exchange.importing import head_imports, import_head
from engine.exchange.spec import Wanted
from engine.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = "; ".join(f"{spec.label} ({' '.join(spec.suffixes)})" for spec in head_imports().values())
    parser.add_argument("file", type=Path, help=kinds)
    parser.add_argument("-o", "--output", type=Path, required=True, help="avatar file to write (.npz)")
    parser.add_argument("--name", help="the avatar's name (default: the output's)")


def run(options: argparse.Namespace, progress: Progress) -> None:
    check_output(options.output, (".npz",))
    made = import_head(options.file, Wanted(avatar_name(options)), progress)
    avatar.save(made.avatar, options.output)
    for note in made.notes:
        say(f"Note: {note}")
