"""``serve``: the server that Blender talks to.

Imports nothing large: the server itself does that, so that it can say how far it is and what is broken.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.progress import Progress
from engine.server.serve import serve

OWN_SIGNALS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=0, help="on loopback (default: a free one)")
    parser.add_argument("--parent-stdin", action="store_true", help="end when standard input ends")
    parser.add_argument(
        "--device", default="auto", help="that draws previews and makes heads: auto (default), cpu, cuda or cuda:N"
    )
    parser.add_argument(
        "--weights", action="append", type=Path, default=[], metavar="FILE",
        help="weights that jobs may ask for by the file's name; may be given several times",
    )  # fmt: skip


def run(options: argparse.Namespace, progress: Progress) -> None:
    serve(options.port, options.parent_stdin, options.device, options.weights)
