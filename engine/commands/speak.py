"""``speak``: a voice to a take."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.commands.shared import add_json_option, check_output, say, show_result, within
from engine.errors import EngineError
from engine.performance import write_take
from engine.progress import Progress
from engine.voice import MOST_TEXT, Speech, speak


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("voice", type=Path, help="a sound of any kind, or a clip with one, up to an hour")
    parser.add_argument("-o", "--output", type=Path, required=True, help="take to write (.csv)")
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--text", default="", help="what is said, in English; without it, lips are guessed")
    text.add_argument("--text-file", type=Path, metavar="FILE", help="the same, in a text file (UTF-8)")
    parser.add_argument(
        "--seed", type=within(0, 2**31 - 1, int), default=0, metavar="N", help="of blinks, brows and the head's motion"
    )
    parser.add_argument(
        "--liveliness", type=within(0, 1), default=0.5, metavar="L", help="how much of them: 0 to 1 (default 0.5)"
    )
    add_json_option(parser)


def run(options: argparse.Namespace, progress: Progress) -> None:
    check_output(options.output, (".csv",))
    text = _text_in(options.text_file) if options.text_file else options.text
    speech = speak(options.voice, progress, text, options.seed, options.liveliness)
    write_take(speech.take, options.output)
    show_result(options, speech.to_json(), lambda: _show(speech))


def _text_in(path: Path) -> str:
    way_out = "Give a text file in UTF-8."
    try:
        with path.open("rb") as file:
            return file.read(4 * MOST_TEXT + 1).decode("utf-8-sig")
    except OSError as error:
        raise EngineError(f"{path.name} cannot be read ({error.strerror or error}).", way_out) from error
    except UnicodeDecodeError as error:
        raise EngineError(f"{path.name} is no text.", way_out) from error


def _show(speech: Speech) -> None:
    take = speech.take
    say(f"{len(speech.phones)} phones in {len(take.times) / take.rate:.1f} s, {take.rate:.3g} samples a second.")
    for note in speech.notes:
        say(note)
