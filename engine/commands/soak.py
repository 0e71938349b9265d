"""``soak``: minutes of use that a server must survive without growing."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.benchmark.soak import soak
from engine.commands.shared import add_json_option, show_result, within
from engine.errors import EngineError
from engine.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=within(0, 24 * 60), default=5.0, metavar="N", help="how long (default 5)")
    add_json_option(parser)


def run(options: argparse.Namespace, progress: Progress) -> None:
    found = soak(options.minutes, progress)
    show_result(options, found, lambda: _show(found))
    if found["grown"]:
        raise EngineError("The server grows with use: " + " ".join(found["grown"]), "Report this with the table.")


def _show(found: dict[str, Any]) -> None:
    table = Table("minute", "MB", "threads", "handles", "preview ms")
    for row in found["rounds"]:
        table.add_row(*(f"{value:.4g}" for value in row.values()))
    Console().print(table, f"{found['jobs']} jobs, {found['previews']} previews")
