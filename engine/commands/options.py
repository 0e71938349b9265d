"""What the commands that reconstruct let users choose."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.commands.shared import listed
from engine.device import AUTO
from engine.heads import DEFAULT
from engine.heads.models import built_in, head_models
from engine.models.spec import CORRESPONDENCES
from engine.pipeline import Options
from engine.systems import DEFAULT_SYSTEM, systems


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that :func:`chosen` reads, but for ``--frames``, which means something else to every command."""
    names = [f"{name} (default)" if name == DEFAULT_SYSTEM else name for name in systems()]
    parser.add_argument("--system", default=DEFAULT_SYSTEM, help=f"reconstruction system: {listed(names)}")
    heads = [f"{name} (default)" if name == DEFAULT else name for name in built_in()]
    files = [f"{spec.label} ({' '.join(spec.suffixes)})" for spec in head_models().values() if spec.suffixes]
    parser.add_argument(
        "--head", default=DEFAULT, help=f"{', '.join(heads)}, or the path of a file: {', '.join(files)}"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="trained or official weights (docs/systems.md)")
    parser.add_argument(
        "--correspondence",
        default=CORRESPONDENCES[0],
        help=f"for official weights, where pixels lie on the skin: {listed(CORRESPONDENCES)}",
    )
    parser.add_argument("--quality", default="normal", help="draft, normal (default) or high: refinement and Gaussians")
    parser.add_argument("--refine", type=float, metavar="SECONDS", help="end refinement after so long a photo; 0: none")
    parser.add_argument("--gaussians", type=int, metavar="N", help="on the surface, instead of the quality's")
    add_device_option(parser, "for networks and refinement")


def add_device_option(parser: argparse.ArgumentParser, what: str) -> None:
    """``--device``, and what it is the device of."""
    parser.add_argument("--device", default=AUTO, help=f"{what}: auto (default), cpu, cuda or cuda:N")


def chosen(options: argparse.Namespace) -> Options:
    """What the user chose, as the pipeline takes it.

    Raises:
        EngineError: there is no such system or quality, or a number is out of range.
    """
    return Options(
        options.system, options.head, options.quality, options.refine, options.gaussians, options.frames,
        options.device, str(options.weights or ""), options.correspondence,
    )  # fmt: skip
