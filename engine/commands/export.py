"""``export``: an avatar as a file for other programs, or a performance as one file for each of its frames."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np

from engine import avatar
from engine.atomic import check_writable
from engine.commands.shared import expression, joints, listed, within
from engine.errors import EngineError
from engine.exchange.exporting import BLENDS, DISPLAY, export, export_formats, export_frames, format_of
from engine.formats.splats import splat_formats
from engine.formats.viewers import AXES
from engine.performance.take import read_take
from engine.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    splats = listed([f".{name}" for name in splat_formats()])
    parser.add_argument("avatar", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help=_kinds())
    parser.add_argument("--expression", nargs="*", default=[], metavar="KEY=WEIGHT", help="for example jawOpen=0.6")
    parser.add_argument("--joint", nargs="*", default=[], metavar="JOINT=X,Y,Z", help="degrees, e.g. neck=0,20,0")
    parser.add_argument(
        "--performance",
        type=Path,
        metavar="CSV",
        help=f"of {splats}: a file for each row of a take; #### in the output becomes its number",
    )
    parser.add_argument("--axes", choices=AXES, help=f"of {splats}: {_ways()}")
    parser.add_argument(
        "--lod", type=within(0.001, 1), default=1.0, metavar="SHARE", help=f"of {splats}: merge to so many, e.g. 0.25"
    )
    parser.add_argument("--blend", choices=BLENDS, default=DISPLAY, help=f"of {splats}: colours for {_blends()}")


def _kinds() -> str:
    return "; ".join(f".{name}: {found.label}" for name, found in export_formats().items())


def _ways() -> str:
    return "; ".join(f"{name}: {axes.label}" for name, axes in AXES.items())


def _blends() -> str:
    return "; ".join(f"{name}: {where}" for name, where in BLENDS.items())


def run(options: argparse.Namespace, progress: Progress) -> None:
    format_of(options.output)
    check_writable(options.output)
    weights = expression(options.expression)
    turns = {name: np.radians(degrees) for name, degrees in joints(options.joint).items()}
    if options.performance is None:
        head = avatar.load(options.avatar)
        pose = avatar.Pose(weights, turns)
        export(head, pose, options.output, options.axes, options.lod, progress, options.blend)
    else:
        poses = read_take(options.performance)
        paths = _numbered(options.output, len(poses))
        head = avatar.load(options.avatar)
        poses = [avatar.Pose({**weights, **p.expression}, {**turns, **p.joint_rotations}) for p in poses]
        export_frames(head, poses, paths, options.axes, options.lod, progress, options.blend)


def _numbered(pattern: Path, count: int) -> list[Path]:
    """One file for each frame, from 1; the marks say how many digits the numbers have at least.

    Raises:
        EngineError: the name has no place for a number, or more than one.
    """
    places = re.findall("#+", pattern.name)
    if len(places) != 1:
        raise EngineError(f"{pattern.name} has no one place for a frame's number.", "Name it like frame_####.ply.")
    return [pattern.with_name(pattern.name.replace(places[0], f"{n + 1:0{len(places[0])}}")) for n in range(count)]
