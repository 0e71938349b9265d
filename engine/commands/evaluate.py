"""``evaluate``: likeness on a clip, on photos, on synthetic people and actors, or by the looks of avatar files."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from engine.commands.options import add_options, chosen
from engine.commands.shared import CONSOLE, add_json_option, show_result
from engine.device import chosen_device
from engine.errors import EngineError
from engine.evaluation.acting import acting_json, acting_table, compare_acting
from engine.evaluation.held_out import evaluate_held_out
from engine.evaluation.looks.people import judge_heads, looks_table
from engine.evaluation.run import evaluate_clip, evaluate_split
from engine.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", nargs="?", type=Path, help="a clip of one person")
    parser.add_argument("--sources", type=int, choices=(1, 4), default=1, help="source frames of the clip")
    parser.add_argument("--frames", type=int, default=24, help="target frames of the clip")
    parser.add_argument("--source-photos", type=Path, metavar="DIR", help="ready-made split: photos to reconstruct")
    parser.add_argument("--held-out", type=int, metavar="N", help="instead: all systems on N synthetic people")
    parser.add_argument("--target-photos", type=Path, metavar="DIR", help="ready-made split: photos to compare with")
    parser.add_argument("--acting", type=int, metavar="N", help="instead: perform on clips of N synthetic actors")
    parser.add_argument(
        "--looks", nargs="+", type=Path, metavar="HEAD", help="instead: judge the looks of avatar files"
    )
    parser.add_argument("--photos", type=Path, metavar="DIR", help="of --looks: where the heads' photos lie")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for the strip and the yaw sweep")
    add_json_option(parser)
    add_options(parser)


def run(options: argparse.Namespace, progress: Progress) -> None:
    if options.held_out:
        _held_out(options, progress)
    elif options.acting:
        _acting(options, progress)
    elif options.looks:
        _looks(options, progress)
    else:
        _likeness(options, progress)


def _likeness(options: argparse.Namespace, progress: Progress) -> None:
    split = (options.source_photos, options.target_photos)
    if options.clip and not any(split):
        result = evaluate_clip(options.clip, options.sources, options.frames, chosen(options), progress)
    elif all(split) and not options.clip:
        result = evaluate_split(*split, chosen(options), progress)
    else:
        raise EngineError(
            "Nothing to evaluate.",
            "Give a clip, both --source-photos and --target-photos, --held-out, --acting or --looks.",
        )
    if options.output:
        result.write_pictures(options.output)
    show_result(options, result.report.to_json(), lambda: Console().print(result.report.table()))


def _held_out(options: argparse.Namespace, progress: Progress) -> None:
    wanted = chosen(options)
    device = chosen_device(wanted.device, progress).torch
    found = evaluate_held_out(options.held_out, options.sources, wanted.gaussians, progress, device)
    show_result(options, found.to_json(), lambda: Console().print(*found.tables()))


def _acting(options: argparse.Namespace, progress: Progress) -> None:
    found = compare_acting(options.acting, progress)
    show_result(options, acting_json(found), lambda: CONSOLE.print(acting_table(found)))


def _looks(options: argparse.Namespace, progress: Progress) -> None:
    found = judge_heads(options.looks, options.photos, options.output, progress)
    width = max(CONSOLE.width, 160)
    result = {"heads": {name: looks.to_json() for name, looks in found.items()}}
    show_result(options, result, lambda: Console(width=width).print(looks_table(found)))
