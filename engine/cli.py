"""The command line, ``python -m engine COMMAND``: finds the command, shows how far it is, and tells its errors."""

from __future__ import annotations

import argparse
import importlib
import io
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from rich.progress import BarColumn, Progress as Bars, TextColumn, TimeElapsedColumn
from rich.text import Text

import engine
from engine.commands import COMMANDS, module_of
from engine.commands.shared import CONSOLE, check_json, say
from engine.errors import Cancelled, EngineError
from engine.progress import Progress
from engine.threads import share_cores


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or the error's own (see :mod:`engine.errors`)."""
    for stream in (sys.stdout, sys.stderr):  # a terminal of another encoding gets ? for what it has not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(words).parse_args(words)
    command = options.command
    try:
        check_json(options)
        if getattr(command, "OWN_SIGNALS", False):
            command.run(options, Progress())
        else:
            share_cores()
            with _cancellable() as progress:
                command.run(options, progress)
    except EngineError as error:
        CONSOLE.print(Text.assemble((f"{type(error).__name__}: ", "red"), error.message), highlight=False)
        say(error.hint)
        return error.exit_code
    return 0


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """A parser that knows all commands by name, and the one that ``words`` ask for with its arguments."""
    parser = argparse.ArgumentParser(prog="python -m engine", description="Portrait photos to 3D Gaussian heads.")
    parser.add_argument("--version", action="version", version=engine.__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    wanted = next((word for word in words if not word.startswith("-")), None)  # no option before it takes a value
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == wanted:
            module = importlib.import_module(f"engine.commands.{module_of(name)}")
            module.add_arguments(command)
            command.set_defaults(command=module)
    return parser


@contextmanager
def _cancellable() -> Iterator[Progress]:
    """Progress bars on stderr; the first Ctrl-C stops the work at its next report, the second at once."""
    stop = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise Cancelled
        stop.set()

    before = signal.signal(signal.SIGINT, interrupt)
    columns = (TextColumn("{task.description:<14}"), BarColumn(), TimeElapsedColumn())
    try:
        with Bars(*columns, console=CONSOLE, transient=False) as bars:
            tasks: dict[str, int] = {}

            def show(stage: str, fraction: float) -> None:
                task = tasks.get(stage)
                if task is None:
                    task = tasks[stage] = bars.add_task(stage, total=1.0)
                bars.update(task, completed=fraction)  # type: ignore[arg-type]
                if fraction >= 1:
                    bars.stop_task(task)  # type: ignore[arg-type]

            yield Progress(show, stop.is_set, lambda text: say(f"Note: {text}"))
            if stop.is_set():
                raise Cancelled
    finally:
        signal.signal(signal.SIGINT, before)
