"""``perform``: an actor's face in a clip to a take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from engine.commands.shared import add_json_option, check_output, say, show_result
from engine.errors import EngineError
from engine.heads import load_head
from engine.performance import notes_of, perform, write_take
from engine.performance.take import Take
from engine.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=Path, help="of any length and of anybody; Blender puts the take on any head")
    parser.add_argument("-o", "--output", type=Path, required=True, help="take to write (.csv)")
    parser.add_argument("--smoothing", type=float, default=0.5, metavar="S", help="0 (as read) to 1 (default 0.5)")
    parser.add_argument(
        "--as-filmed", action="store_true", help="keep what the actor's resting face has of expressions"
    )
    add_json_option(parser)


def run(options: argparse.Namespace, progress: Progress) -> None:
    check_output(options.output, (".csv",))
    if not 0 <= options.smoothing <= 1:  # nan is not, either
        raise EngineError(f"A smoothing of {options.smoothing} is not between 0 and 1.", "Leave it out for 0.5.")
    take = perform(options.clip, load_head(), progress, options.smoothing, not options.as_filmed)
    write_take(take, options.output)
    notes = tuple(notes_of(take))
    show_result(options, take.to_json() | {"notes": notes}, lambda: _show(take, notes))


def _show(take: Take, notes: Sequence[str]) -> None:
    say(f"{len(take.times)} of {take.frames} frames at {take.rate:.3g} fps, {take.residual.mean():.1f} px off.")
    for note in notes:
        say(note)
