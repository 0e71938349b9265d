"""``bind``: imported splats to a head that moves."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine import avatar
from engine.commands.shared import avatar_name, check_output, say
from engine.exchange.binding import bind_to_head
from engine.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("avatar", type=Path, help="static splats, as import makes them (.npz)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="avatar file to write (.npz)")
    parser.add_argument("--name", help="the avatar's name (default: the output's)")


def run(options: argparse.Namespace, progress: Progress) -> None:
    check_output(options.output, (".npz",))
    made = bind_to_head(avatar.load(options.avatar), avatar_name(options), progress)
    avatar.save(made.avatar, options.output)
    for note in made.notes:
        say(f"Note: {note}")
