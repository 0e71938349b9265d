"""``render``: an avatar as PNG, or as a turntable MP4."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine import avatar
from engine.commands.options import add_device_option
from engine.commands.shared import check_output, expression, joints, within
from engine.device import chosen_device, moved
from engine.errors import EngineError
from engine.progress import Progress
from engine.report import write_still, write_turntable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("avatar", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help=".png or .mp4 (turntable)")
    parser.add_argument(
        "--yaw", type=within(-360, 360), default=0.0, metavar="DEG", help="positive shows the subject's left side"
    )
    parser.add_argument("--pitch", type=within(-90, 90), default=0.0, metavar="DEG", help="positive looks from above")
    parser.add_argument("--expression", nargs="*", default=[], metavar="KEY=WEIGHT", help="for example jawOpen=0.6")
    parser.add_argument("--joint", nargs="*", default=[], metavar="JOINT=X,Y,Z", help="degrees, e.g. neck=0,20,0")
    parser.add_argument("--size", type=within(16, 8192, int), default=768, metavar="PX")
    parser.add_argument("--background", choices=("white", "black", "transparent"), default="white")
    add_device_option(parser, "that draws")
    parser.add_argument("--seconds", type=within(0.1, 600), default=4.0, help="length of a turntable")


def run(options: argparse.Namespace, progress: Progress) -> None:
    check_output(options.output, (".png", ".mp4"))
    head = moved(avatar.load(options.avatar), chosen_device(options.device, progress).torch)
    weights, turns = expression(options.expression), joints(options.joint)
    progress.start("render")
    shared = {"pitch": options.pitch, "size": options.size, "path": options.output}
    background = {"white": 1.0, "black": 0.0, "transparent": None}[options.background]
    if options.output.suffix.lower() == ".png":
        write_still(head, weights, turns, yaw=options.yaw, background=background, **shared)
    elif background is None:
        raise EngineError("An MP4 cannot be transparent.", "Choose a white or black background, or a PNG.")
    else:
        movie = {"seconds": options.seconds, "background": background, "progress": progress}
        write_turntable(head, weights, turns, **movie, **shared)
    progress.finish()
