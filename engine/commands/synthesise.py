"""``synthesise``: random synthetic heads with their ground truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.commands.shared import say
from engine.errors import EngineError
from engine.progress import Progress
from engine.synthetic.files import synthesise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="first person; 0 to 999 are held out for tests"
    )
    parser.add_argument("--count", type=int, default=8, metavar="M", help="people (default 8)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument("--views", type=int, default=3, help="pictures of each (default 3)")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="side of a picture (default 256)")
    parser.add_argument("--same-expression", action="store_true", help="all pictures of a person show one instant")


def run(options: argparse.Namespace, progress: Progress) -> None:
    if options.seed < 0 or min(options.count, options.views) < 1 or not 16 <= options.size <= 2048:
        raise EngineError(
            "There is nothing to draw.", "Choose a seed from 0, at least one person and view, 16-2048 px."
        )
    heads = options.seed, options.count, options.views, options.size, options.same_expression
    written = synthesise(options.output, *heads, progress)
    say(f"{len(written)} files; look at {written[-1]}")
