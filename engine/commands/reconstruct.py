"""``reconstruct``: photos or a clip to an avatar."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from engine import avatar, pipeline
from engine.commands.options import add_options, chosen
from engine.commands.shared import CONSOLE, add_json_option, avatar_name, check_output, say, show_result
from engine.errors import EngineError
from engine.estimate import typical_seconds
from engine.exchange.exporting import export, format_of
from engine.photos.clips import is_clip
from engine.pipeline import Options
from engine.progress import Progress
from engine.report import photo_report, write_photo_sheet
from engine.systems import system


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", type=Path, help="photos and clips of one person")
    parser.add_argument("-o", "--output", type=Path, required=True, help="avatar file to write (.npz)")
    parser.add_argument("--name", help="the avatar's name (default: the output's)")
    parser.add_argument("--add", type=Path, metavar="HEAD", help="put the photos into this head, if its system can")
    parser.add_argument("--frames", type=int, default=4, metavar="N", help="frames taken from each clip (default 4)")
    parser.add_argument("--ply", type=Path, help="also write a standard 3DGS .ply")
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet .png")
    add_json_option(parser)
    add_options(parser)


def run(options: argparse.Namespace, progress: Progress) -> None:
    _check_outputs(options)
    name, how = avatar_name(options), chosen(options)
    if options.add:
        made = pipeline.add_photos(options.photos, options.add, name, how, progress)
    else:
        _announce(how, options.photos)
        made = pipeline.reconstruct(options.photos, name, how, progress)
    progress.start("files")
    avatar.save(made.avatar, options.output)
    memory = _keep(made, options.output)
    if options.ply:
        export(made.avatar, avatar.Pose(), options.ply)
    if options.sheet:
        write_photo_sheet(made, options.sheet)
    report = photo_report(made)
    progress.finish()
    report["seconds"] = dict(progress.seconds)
    report["files"] = [str(p) for p in (options.output, memory, options.ply, options.sheet) if p]
    for entry in made.set_aside:
        say(f"Set aside: {entry.reason}")
    for warning in (warning for photo in made.photos for warning in photo.warnings):
        say(f"Note: {warning}")
    show_result(options, report, lambda: _show(report))


def _announce(how: Options, paths: Sequence[Path]) -> None:
    """Say how long it will take where a network is slow on this machine."""
    if how.equipped.network_seconds is None:
        return
    clips = sum(map(is_clip, paths))
    minutes = sum(typical_seconds(how, len(paths) - clips, clips).values()) / 60
    say(f"This takes about {minutes:.0f} minutes here." if minutes > 1 else "This takes about a minute here.")


def _check_outputs(options: argparse.Namespace) -> None:
    """Before hours of work: every file can be written, and none of them is a photo."""
    if options.ply:
        format_of(options.ply)
    check_output(options.output, (".npz",))
    for path, ending in ((options.ply, ".ply"), (options.sheet, ".png")):
        if path:
            check_output(path, (ending,))
    for path in filter(None, (options.output, options.ply, options.sheet)):
        if any(path.exists() and photo.exists() and path.samefile(photo) for photo in options.photos):
            raise EngineError(f"{path} is one of the photos.", "Choose another name for what is written.")


def _keep(made: pipeline.Reconstruction, output: Path) -> Path | None:
    """Write what a later ``--add`` needs beside the avatar, where the system remembers; returns that file."""
    adding = system(made.avatar.provenance["options"]["system"]).adding
    if adding is None or made.model.memory is None:
        return None
    path = output.with_suffix(adding.suffix)
    made.model.memory.save(path)
    return path


def _show(report: dict) -> None:
    table = Table("photo", "landmarks px", "lips px", "eyes px", "yaw°", "pitch°", "PSNR dB")
    for row in report["photos"]:
        figures = (row[key] for key in ("landmark_px", "lips_px", "eyes_px", "yaw", "pitch", "psnr"))
        table.add_row(Text(row["name"]), *(f"{x:.2f}" for x in figures))
    CONSOLE.print(table)
    seconds = ", ".join(f"{stage} {t:.1f} s" for stage, t in report["seconds"].items())
    CONSOLE.print(f"{report['gaussians']} Gaussians; {seconds}", highlight=False)
