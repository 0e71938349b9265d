"""``edit``: a new head of two."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine import avatar
from engine.commands.shared import avatar_name, check_output, expression, say, within
from engine.editing import Edited, interpolate, replace_region, transfer, with_expression
from engine.errors import EngineError
from engine.progress import Progress

EDITS = {
    "interpolate": "The head between two.",
    "replace": "The first head with regions of the second.",
    "transfer": "The first head with an expression of the second.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    edits = parser.add_subparsers(dest="edit", required=True, metavar="EDIT")
    parsers = {name: edits.add_parser(name, help=text, description=text) for name, text in EDITS.items()}
    for edit in parsers.values():
        edit.add_argument("first", type=Path, metavar="A", help="avatar file")
        edit.add_argument("second", type=Path, metavar="B", help="avatar file of the same head model")
        edit.add_argument("-o", "--output", type=Path, required=True, help="avatar file to write (.npz)")
        edit.add_argument("--name", help="the new avatar's name (default: the output's)")
    edit = parsers["interpolate"]
    edit.add_argument("--gamma", type=within(-1, 2), default=0.5, help="0 is A, 1 is B (default 0.5)")
    edit = parsers["replace"]
    edit.add_argument("--region", nargs="+", required=True, metavar="NAME", help="for example lips teeth eyes")
    edit.add_argument(
        "--border", type=within(0, 200), default=8.0, metavar="MM", help="soft edge around it (default 8)"
    )
    edit = parsers["transfer"]
    edit.add_argument("--expression", nargs="*", default=[], metavar="KEY=WEIGHT", help="of B")
    edit.add_argument("--neutral", type=Path, help="avatar of B's person at rest, where B shows the expression")


def run(options: argparse.Namespace, progress: Progress) -> None:
    check_output(options.output, (".npz",))
    name = avatar_name(options)
    progress.start("edit")
    made = _edited(options, name)
    avatar.save(made.avatar, options.output)
    progress.finish()
    for note in made.notes:
        say(note)


def _edited(options: argparse.Namespace, name: str) -> Edited:
    first, second = avatar.load(options.first), avatar.load(options.second)
    if options.edit == "interpolate":
        return interpolate(first, second, options.gamma, name)
    if options.edit == "replace":
        return replace_region(first, second, options.region, options.border / 1000, name)
    if not options.expression and not options.neutral:
        raise EngineError("There is no expression to carry over.", "Give --expression KEY=WEIGHT or --neutral FILE.")
    neutral = avatar.load(options.neutral) if options.neutral else second
    return transfer(first, with_expression(second, expression(options.expression)), neutral, name)
