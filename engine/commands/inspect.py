"""``inspect``: what is in an avatar file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine import avatar
from engine.commands.shared import add_json_option, show_result
from engine.progress import Progress
from engine.report import summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("avatar", type=Path)
    add_json_option(parser)


def run(options: argparse.Namespace, progress: Progress) -> None:
    found = summary(avatar.load(options.avatar))
    show_result(options, found, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    table = Table(show_header=False)
    for key, value in found.items():
        table.add_row(key, Text(value if isinstance(value, str) else json.dumps(value)))  # names may have brackets
    Console().print(table)
