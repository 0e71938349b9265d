"""What commands share, quick to import: the words they read, the files they check, and how they show results."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from engine.atomic import atomic_write, check_writable, is_stream
from engine.errors import EngineError
from engine.formats.avatar_layout import is_name, plain_name

CONSOLE = Console(stderr=True)
LARGEST_WEIGHT = 4.0  # of a key, either way; sliders of head models of one's own go to 3


def say(line: str, *, soft_wrap: bool = False) -> None:
    """Print a line on stderr as it is: what looks like markup is part of a name.

    Args:
        soft_wrap: leave the breaking of a long line to the terminal.
    """
    CONSOLE.print(line, highlight=False, markup=False, soft_wrap=soft_wrap)


def listed(names: Sequence[str]) -> str:
    """For help texts: ``a, b or c``, of two names at least."""
    *first, last = names
    return f"{', '.join(first)} or {last}"


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """``--json``, for :func:`check_json` and :func:`show_result`."""
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="machine-readable result, to FILE or stdout"
    )


def check_json(options: argparse.Namespace) -> None:
    """Find out before any work whether the file of ``--json`` can be written; not every command has the option.

    Raises:
        EngineError: its name does not end in .json, which may well be a photo's. OutputError: it cannot be written.
    """
    target = getattr(options, "json", None)
    if target and target != "-":
        check_output(Path(target), (".json",))


def show_result(options: argparse.Namespace, result: object, show: Callable[[], None]) -> None:
    """Write a command's result as JSON where ``--json`` asks for it.

    Args:
        result: of values that JSON knows, all of them finite.
        show: prints it for people; not called where the JSON goes to stdout.
    """
    if options.json:
        text = json.dumps(result, indent=2, allow_nan=False) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            with atomic_write(options.json) as temporary:
                temporary.write_text(text)
    if options.json != "-":
        show()


def check_output(path: Path, endings: tuple[str, ...]) -> None:
    """Find out before any work whether a file can be written.

    Args:
        endings: of which its name must have one, in lower case and with the dot.

    Raises:
        EngineError: it has another. OutputError: the folder is missing or read-only, or the disk is full.
    """
    if path.suffix.lower() not in endings and not is_stream(path):
        raise EngineError(f"{path.name} is of an unknown kind.", f"Choose a name that ends in {' or '.join(endings)}.")
    check_writable(path)


def avatar_name(options: argparse.Namespace) -> str:
    """The new avatar's name: what ``--name`` asks for, or after the file of ``--output``.

    Raises:
        EngineError: it is no name for a head.
    """
    if options.name is None:
        return plain_name(options.output.stem)
    if not is_name(options.name):
        raise EngineError(f"{options.name!r} cannot be the name of a head.", "Use up to 63 printable characters.")
    return options.name


def within(low: float, high: float, kind: type = float) -> Callable[[str], float]:
    """For argparse: a number of a range; nan is in none."""

    def read(word: str) -> float:
        number = kind(word)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{word} is not within {low:g} and {high:g}")
        return number

    read.__name__ = "whole number" if kind is int else "number"  # what argparse calls it
    return read


def expression(words: Sequence[str]) -> dict[str, float]:
    """Weights by key, of words KEY=WEIGHT.

    Raises:
        EngineError: a word is not understood.
    """
    hint = f"Write NAME=NUMBER, up to {LARGEST_WEIGHT:g} and with a point: jawOpen=0.6."
    return {name: value for name, (value,) in _pairs(words, 1, LARGEST_WEIGHT, hint).items()}


def joints(words: Sequence[str]) -> dict[str, list[float]]:
    """Rotation vectors by joint, in degrees, of words JOINT=X,Y,Z.

    Raises:
        EngineError: a word is not understood.
    """
    return _pairs(words, 3, 360.0, "Write JOINT=X,Y,Z in degrees, with points: neck=0,20,0.")


def _pairs(words: Sequence[str], count: int, limit: float, hint: str) -> dict[str, list[float]]:
    """NAME=NUMBER,… by name: ``count`` finite numbers each, of at most ``limit`` either way."""
    pairs = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            numbers = [float(x) for x in value.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != count or not all(abs(number) <= limit for number in numbers):  # nan is not, either
            raise EngineError(f"{word} is not understood.", hint)
        pairs[name] = numbers
    return pairs
