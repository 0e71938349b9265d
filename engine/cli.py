"""The command line, ``python -m engine COMMAND``: a thin layer of words and tables over the stages."""

from __future__ import annotations

import argparse
import functools
import io
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress as Bars, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import engine
from engine.atomic import atomic_write, check_writable, is_stream
from engine.errors import Cancelled, EngineError
from engine.progress import Progress
from engine.threads import share_cores

if TYPE_CHECKING:
    from engine.pipeline import Reconstruction

CONSOLE = Console(stderr=True)
LARGEST_WEIGHT = 4.0  # of a key, either way; sliders of head models of one's own go to 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or the error's own (see :mod:`engine.errors`)."""
    for stream in (sys.stdout, sys.stderr):  # a terminal of another encoding gets ? for what it has not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        target = getattr(options, "json", None)
        if target and target != "-":
            _check_output(Path(target), (".json",))
        if options.run is _serve:  # it answers for itself: no bars, its own way to stop
            _serve(options)
        else:
            share_cores()
            with _cancellable() as progress:
                options.run(options, progress)
    except EngineError as error:
        CONSOLE.print(Text.assemble((f"{type(error).__name__}: ", "red"), error.message), highlight=False)
        CONSOLE.print(error.hint, highlight=False, markup=False)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="Portrait photos to 3D Gaussian heads.")
    parser.add_argument("--version", action="version", version=engine.__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    def add_options(sub: argparse.ArgumentParser) -> None:
        systems = "surface (default), match, ffavatar, avat3r, uika or flexavatar"
        sub.add_argument("--system", default="surface", help=f"reconstruction system: {systems}")
        sub.add_argument("--head", default="makehuman", help="makehuman (default), or the path of a head model's file")
        sub.add_argument(
            "--quality", default="normal", help="draft, normal (default) or high: refinement and Gaussians"
        )
        sub.add_argument(
            "--refine", type=float, metavar="SECONDS", help="end refinement after so long a photo; 0: none"
        )
        sub.add_argument("--gaussians", type=int, metavar="N", help="on the surface, instead of the quality's")

    sub = command("reconstruct", _reconstruct, "Photos or a clip to an avatar.")
    sub.add_argument("photos", nargs="+", type=Path, help="photos and clips of one person")
    sub.add_argument("-o", "--output", type=Path, required=True, help="avatar file to write (.npz)")
    sub.add_argument("--name", help="the avatar's name (default: the output's)")
    sub.add_argument("--add", type=Path, metavar="HEAD", help="put the photos into this head of ffavatar's (.npz)")
    sub.add_argument("--frames", type=int, default=4, metavar="N", help="frames taken from each clip (default 4)")
    sub.add_argument("--ply", type=Path, help="also write a standard 3DGS .ply")
    sub.add_argument("--sheet", type=Path, help="also write a contact sheet .png")
    _json_option(sub)
    add_options(sub)

    sub = command("batch", _batch, "A folder of people to a folder of avatars.")
    sub.add_argument("folder", type=Path, help="every subfolder with photos, and every single photo, is one person")
    sub.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for NAME.npz")
    sub.add_argument("--frames", type=int, default=4, metavar="N", help="frames taken from each clip (default 4)")
    sub.add_argument("--blender", type=Path, metavar="PATH", help="Blender with the extension: also write NAME.blend")
    add_options(sub)

    sub = command("render", _render, "An avatar as PNG, or as a turntable MP4.")
    sub.add_argument("avatar", type=Path)
    sub.add_argument("-o", "--output", type=Path, required=True, help=".png or .mp4 (turntable)")
    sub.add_argument(
        "--yaw", type=_within(-360, 360), default=0.0, metavar="DEG", help="positive shows the subject's left side"
    )
    sub.add_argument("--pitch", type=_within(-90, 90), default=0.0, metavar="DEG", help="positive looks from above")
    sub.add_argument("--expression", nargs="*", default=[], metavar="KEY=WEIGHT", help="for example jawOpen=0.6")
    sub.add_argument("--joint", nargs="*", default=[], metavar="JOINT=X,Y,Z", help="degrees, e.g. neck=0,20,0")
    sub.add_argument("--size", type=_within(16, 8192, int), default=768, metavar="PX")
    sub.add_argument("--background", choices=("white", "black", "transparent"), default="white")
    sub.add_argument("--seconds", type=_within(0.1, 600), default=4.0, help="length of a turntable")

    sub = command("inspect", _inspect, "What is in an avatar file.")
    sub.add_argument("avatar", type=Path)
    _json_option(sub)

    sub = command("export", _export, "An avatar as .ply or .splat for other programs.")
    sub.add_argument("avatar", type=Path)
    sub.add_argument("-o", "--output", type=Path, required=True, help=".ply (3DGS) or .splat")
    sub.add_argument("--expression", nargs="*", default=[], metavar="KEY=WEIGHT")

    sub = command("evaluate", _evaluate, "Measure likeness by self-reenactment.")
    sub.add_argument("clip", nargs="?", type=Path, help="a clip of one person")
    sub.add_argument("--sources", type=int, choices=(1, 4), default=1, help="source frames of the clip")
    sub.add_argument("--frames", type=int, default=24, help="target frames of the clip")
    sub.add_argument("--source-photos", type=Path, metavar="DIR", help="ready-made split: photos to reconstruct")
    sub.add_argument("--held-out", type=int, metavar="N", help="instead: all systems on N synthetic people")
    sub.add_argument("--target-photos", type=Path, metavar="DIR", help="ready-made split: photos to compare with")
    sub.add_argument("--acting", type=int, metavar="N", help="instead: perform on clips of N synthetic actors")
    sub.add_argument("--looks", nargs="+", type=Path, metavar="HEAD", help="instead: judge the looks of avatar files")
    sub.add_argument("--photos", type=Path, metavar="DIR", help="of --looks: where the heads' photos lie")
    sub.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for the strip and the yaw sweep")
    _json_option(sub)
    add_options(sub)

    sub = command("perform", _perform, "An actor's face in a clip to a take: ARKit weights and turns, as CSV.")
    sub.add_argument("clip", type=Path, help="of any length and of anybody; Blender puts the take on any head")
    sub.add_argument("-o", "--output", type=Path, required=True, help="take to write (.csv)")
    sub.add_argument("--smoothing", type=float, default=0.5, metavar="S", help="0 (as read) to 1 (default 0.5)")
    sub.add_argument("--as-filmed", action="store_true", help="keep what the actor's resting face has of expressions")
    _json_option(sub)

    sub = command("serve", _serve, "Serve Blender on this machine: one JSON line on stdout when ready.")
    sub.add_argument("--port", type=int, default=0, help="on loopback (default: a free one)")
    sub.add_argument("--parent-stdin", action="store_true", help="end when standard input ends")
    sub.add_argument("--device", default="auto", help="that draws previews: auto, cpu, cuda or cuda:N (default auto)")

    sub = command("synthesise", _synthesise, "Random synthetic heads with their ground truth, as PNG and npz.")
    sub.add_argument("--seed", type=int, default=0, metavar="N", help="first person; 0 to 999 are held out for tests")
    sub.add_argument("--count", type=int, default=8, metavar="M", help="people (default 8)")
    sub.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write into")
    sub.add_argument("--views", type=int, default=3, help="pictures of each (default 3)")
    sub.add_argument("--size", type=int, default=256, metavar="PX", help="side of a picture (default 256)")
    sub.add_argument("--same-expression", action="store_true", help="all pictures of a person show one instant")

    sub = command("edit", _edit, "Mix two heads, replace regions, carry an expression over.")
    edits = sub.add_subparsers(dest="edit", required=True, metavar="EDIT")
    for name, text in (
        ("interpolate", "The head between two."),
        ("replace", "The first head with regions of the second."),
        ("transfer", "The first head with an expression of the second."),
    ):
        edit = edits.add_parser(name, help=text, description=text)
        edit.add_argument("first", type=Path, metavar="A", help="avatar file")
        edit.add_argument("second", type=Path, metavar="B", help="avatar file of the same head model")
        edit.add_argument("-o", "--output", type=Path, required=True, help="avatar file to write (.npz)")
        edit.add_argument("--name", help="the new avatar's name (default: the output's)")
        if name == "interpolate":
            edit.add_argument("--gamma", type=_within(-1, 2), default=0.5, help="0 is A, 1 is B (default 0.5)")
        elif name == "replace":
            edit.add_argument("--region", nargs="+", required=True, metavar="NAME", help="for example lips teeth eyes")
            edit.add_argument(
                "--border", type=_within(0, 200), default=8.0, metavar="MM", help="soft edge around it (default 8)"
            )
        else:
            edit.add_argument("--expression", nargs="*", default=[], metavar="KEY=WEIGHT", help="of B")
            edit.add_argument("--neutral", type=Path, help="avatar of B's person at rest, where B shows the expression")

    sub = command("train", _train, "Train a learned system; the same command goes on after any stop.")
    sub.add_argument("--system", required=True, help="match, uika, ffavatar, avat3r or flexavatar")
    sub.add_argument("--preset", default="small", help="the network's size (default: small)")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    sub.add_argument("--steps", type=int, metavar="N", help="length of the run")
    sub.add_argument("--minutes", type=float, help="wall-clock budget, instead of --steps or beside it")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    sub.add_argument("--learning-rate", type=float, default=3e-4, metavar="RATE", help="its peak (default 3e-4)")
    sub.add_argument("--batch-size", type=int, default=2, metavar="B", help="people per step (default 2)")
    sub.add_argument("--workers", type=int, default=0, metavar="N", help="processes that prepare data (default 0)")
    sub.add_argument("--samples", type=Path, metavar="DIR", help="rendered samples to train on")
    sub.add_argument("--variant", action="append", default=[], metavar="NAME=VALUE", help="an ablation; repeatable")
    sub.add_argument("--data", action="append", default=[], metavar="NAME=VALUE", help="another choice of data")

    sub = command("ablate", _ablate, "Train the papers' ablations at a tiny size; goes on where it was stopped.")
    sub.add_argument("--system", action="append", metavar="SYSTEM", help="only this one; repeatable")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="the study's folder")
    sub.add_argument("--samples", type=Path, required=True, metavar="DIR", help="rendered samples to train on")
    sub.add_argument("--steps", type=int, default=300, metavar="N", help="of every training (default 300)")
    sub.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of everything (default 3)")
    sub.add_argument("--people", type=int, default=12, metavar="N", help="held-out ones to measure on (default 12)")

    sub = command("benchmark", _benchmark, "How fast this machine is, as figures and ratios of one run.")
    sub.add_argument("--plot", type=Path, metavar="FILE", help="what more photos cost attention, as a picture (.png)")
    sub.add_argument("--gpu", action="store_true", help="measure a CUDA GPU instead; goes on where it was stopped")
    sub.add_argument("-o", "--output", type=Path, default=Path("benchmark"), metavar="DIR", help="of --gpu's table")
    _json_option(sub)

    sub = command("soak", _soak, "Use a server of its own for minutes; fails where memory, threads or handles grow.")
    sub.add_argument("--minutes", type=_within(0, 24 * 60), default=5.0, metavar="N", help="how long (default 5)")
    _json_option(sub)
    return parser


def _json_option(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", nargs="?", const="-", metavar="FILE", help="machine-readable result, to FILE or stdout")


def _write_json(target: str | None, value: object) -> None:
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
    elif target:
        with atomic_write(target) as temporary:
            temporary.write_text(text)


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

            yield Progress(show, stop.is_set)
            if stop.is_set():
                raise Cancelled
    finally:
        signal.signal(signal.SIGINT, before)


def _pairs(words: Sequence[str], count: int, limit: float, hint: str) -> dict[str, list[float]]:
    """NAME=NUMBER,… by name: ``count`` finite numbers each, of at most ``limit`` either way."""
    pairs = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            numbers = [float(x) for x in value.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != count or not all(abs(number) <= limit for number in numbers):  # nan is not, either
            raise EngineError(f"{word} is not understood.", hint)
        pairs[name] = numbers
    return pairs


def _expression(words: Sequence[str]) -> dict[str, float]:
    hint = f"Write NAME=NUMBER, up to {LARGEST_WEIGHT:g} and with a point: jawOpen=0.6."
    return {name: value for name, (value,) in _pairs(words, 1, LARGEST_WEIGHT, hint).items()}


def _joints(words: Sequence[str]) -> dict[str, list[float]]:
    return _pairs(words, 3, 360.0, "Write JOINT=X,Y,Z in degrees, with points: neck=0,20,0.")


def _within(low: float, high: float, kind: type = float) -> Callable[[str], float]:
    """For argparse: a number of a range; nan is in none."""

    def read(word: str) -> float:
        number = kind(word)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{word} is not within {low:g} and {high:g}")
        return number

    read.__name__ = "whole number" if kind is int else "number"  # what argparse calls it
    return read


def _check_output(path: Path, endings: tuple[str, ...]) -> None:
    if path.suffix.lower() not in endings and not is_stream(path):
        raise EngineError(f"{path.name} is of an unknown kind.", f"Choose a name that ends in {' or '.join(endings)}.")
    check_writable(path)


def _name(options: argparse.Namespace) -> str:
    """The avatar's name: as it was asked for, or after the file."""
    from engine.formats.avatar_layout import is_name, plain_name

    if options.name is None:
        return plain_name(options.output.stem)
    if not is_name(options.name):
        raise EngineError(f"{options.name!r} cannot be the name of a head.", "Use up to 63 printable characters.")
    return options.name


def _options(options: argparse.Namespace):
    from engine.pipeline import Options

    frames = getattr(options, "frames", 4)
    return Options(options.system, options.head, options.quality, options.refine, options.gaussians, frames)


def _reconstruct(options: argparse.Namespace, progress: Progress) -> None:
    from engine import avatar, pipeline
    from engine.formats.splats.ply import write_ply
    from engine.report import photo_report, write_photo_sheet

    _check_output(options.output, (".npz",))
    for path, ending in ((options.ply, ".ply"), (options.sheet, ".png")):
        if path:
            _check_output(path, (ending,))
    for path in filter(None, (options.output, options.ply, options.sheet)):
        if any(path.exists() and photo.exists() and path.samefile(photo) for photo in options.photos):
            raise EngineError(f"{path} is one of the photos.", "Choose another name for what is written.")
    name = _name(options)
    if options.add:
        made = pipeline.add_photos(options.photos, options.add, name, _options(options), progress)
    else:
        made = pipeline.reconstruct(options.photos, name, _options(options), progress)
    progress.start("files")
    avatar.save(made.avatar, options.output)
    memory = _keep(made, options.output)
    if options.ply:
        write_ply(avatar.drive(made.avatar, {}), options.ply)
    if options.sheet:
        write_photo_sheet(made, options.sheet)
    report = photo_report(made)
    progress.finish()
    report["seconds"] = dict(progress.seconds)
    report["files"] = [str(p) for p in (options.output, memory, options.ply, options.sheet) if p]
    for entry in made.set_aside:
        CONSOLE.print(f"Set aside: {entry.reason}", highlight=False, markup=False)
    for warning in (warning for photo in made.photos for warning in photo.warnings):
        CONSOLE.print(f"Note: {warning}", highlight=False, markup=False)
    if options.json:
        _write_json(options.json, report)
    if options.json != "-":
        _photo_table(report)


def _keep(made: Reconstruction, output: Path) -> Path | None:
    """Write what a later ``--add`` needs beside the avatar, where the system remembers; returns that file."""
    from engine.systems import system

    adding = system(made.avatar.provenance["options"]["system"]).adding
    if adding is None or made.model.memory is None:
        return None
    path = output.with_suffix(adding.suffix)
    made.model.memory.save(path)
    return path


def _photo_table(report: dict) -> None:
    table = Table("photo", "landmarks px", "lips px", "eyes px", "yaw°", "pitch°", "PSNR dB")
    for row in report["photos"]:
        figures = (row[key] for key in ("landmark_px", "lips_px", "eyes_px", "yaw", "pitch", "psnr"))
        table.add_row(Text(row["name"]), *(f"{x:.2f}" for x in figures))
    CONSOLE.print(table)
    seconds = ", ".join(f"{stage} {t:.1f} s" for stage, t in report["seconds"].items())
    CONSOLE.print(f"{report['gaussians']} Gaussians; {seconds}", highlight=False)


def _perform(options: argparse.Namespace, progress: Progress) -> None:
    from engine.heads import load_head
    from engine.performance import notes_of, perform, write_take

    _check_output(options.output, (".csv",))
    if not 0 <= options.smoothing <= 1:  # nan is not, either
        raise EngineError(f"A smoothing of {options.smoothing} is not between 0 and 1.", "Leave it out for 0.5.")
    take = perform(options.clip, load_head(), progress, options.smoothing, not options.as_filmed)
    write_take(take, options.output)
    notes = tuple(notes_of(take))
    if options.json:
        _write_json(options.json, take.to_json() | {"notes": notes})
    if options.json != "-":
        seen = f"{len(take.times)} of {take.frames} frames at {take.rate:.3g} fps, {take.residual.mean():.1f} px off."
        for line in (seen, *notes):
            CONSOLE.print(line, highlight=False, markup=False)


def _batch(options: argparse.Namespace, progress: Progress) -> None:
    from engine.batch import find_people, left_out, reconstruct_people

    people = find_people(options.folder)
    outcomes = reconstruct_people(people, options.output, _options(options), options.blender, progress)
    table = Table("person", "photos", "seconds", "result")
    for outcome in outcomes:
        said = " ".join([outcome.error or "done", *outcome.notes])
        table.add_row(Text(outcome.name), str(outcome.photos), f"{outcome.seconds:.0f}", Text(said))
    CONSOLE.print(table)
    for path in left_out(options.folder, people):
        CONSOLE.print(f"Not read: {path}", highlight=False, markup=False)
    failed = sum(bool(outcome.error) for outcome in outcomes)
    if failed:
        raise EngineError(f"{failed} of {len(outcomes)} people failed.", "The table says why; the others are done.")


def _render(options: argparse.Namespace, progress: Progress) -> None:
    from engine import avatar
    from engine.report import write_still, write_turntable

    _check_output(options.output, (".png", ".mp4"))
    head = avatar.load(options.avatar)
    expression = _expression(options.expression)
    joints = _joints(options.joint)
    progress.start("render")
    shared = {"pitch": options.pitch, "size": options.size, "path": options.output}
    background = {"white": 1.0, "black": 0.0, "transparent": None}[options.background]
    if options.output.suffix.lower() == ".png":
        write_still(head, expression, joints, yaw=options.yaw, background=background, **shared)
    elif background is None:
        raise EngineError("An MP4 cannot be transparent.", "Choose a white or black background, or a PNG.")
    else:
        movie = {"seconds": options.seconds, "background": background, "progress": progress}
        write_turntable(head, expression, joints, **movie, **shared)
    progress.finish()


def _inspect(options: argparse.Namespace, progress: Progress) -> None:
    from engine import avatar
    from engine.report import summary

    found = summary(avatar.load(options.avatar))
    if options.json:
        _write_json(options.json, found)
    if options.json != "-":
        table = Table(show_header=False)
        for key, value in found.items():
            table.add_row(key, Text(value if isinstance(value, str) else json.dumps(value)))  # names may have brackets
        Console().print(table)


def _export(options: argparse.Namespace, progress: Progress) -> None:
    from engine import avatar
    from engine.formats.splats import splat_formats, write_splats

    _check_output(options.output, tuple(f".{name}" for name in splat_formats()))
    splats = avatar.drive(avatar.load(options.avatar), _expression(options.expression))
    write_splats(splats, options.output)


def _evaluate(options: argparse.Namespace, progress: Progress) -> None:
    from engine.evaluation.run import evaluate_clip, evaluate_split

    others = (
        (options.held_out, _evaluate_held_out),
        (options.acting, _evaluate_acting),
        (options.looks, _evaluate_looks),
    )
    if other := next((run for wanted, run in others if wanted), None):
        other(options, progress)
        return
    split = (options.source_photos, options.target_photos)
    if options.clip and not any(split):
        result = evaluate_clip(options.clip, options.sources, options.frames, _options(options), progress)
    elif all(split) and not options.clip:
        result = evaluate_split(*split, _options(options), progress)
    else:
        raise EngineError(
            "Nothing to evaluate.",
            "Give a clip, both --source-photos and --target-photos, --held-out, --acting or --looks.",
        )
    if options.output:
        result.write_pictures(options.output)
    if options.json:
        _write_json(options.json, result.report.to_json())
    if options.json != "-":
        Console().print(result.report.table())


def _evaluate_acting(options: argparse.Namespace, progress: Progress) -> None:
    from engine.evaluation.acting import acting_json, acting_table, compare_acting

    found = compare_acting(options.acting, progress)
    if options.json:
        _write_json(options.json, acting_json(found))
    if options.json != "-":
        CONSOLE.print(acting_table(found))


def _evaluate_held_out(options: argparse.Namespace, progress: Progress) -> None:
    from engine.evaluation.held_out import evaluate_held_out

    found = evaluate_held_out(options.held_out, options.sources, _options(options).gaussians, progress)
    if options.json:
        _write_json(options.json, found.to_json())
    if options.json != "-":
        Console().print(*found.tables())


def _evaluate_looks(options: argparse.Namespace, progress: Progress) -> None:
    from engine.evaluation.looks.people import judge_heads, looks_table

    found = judge_heads(options.looks, options.photos, options.output, progress)
    if options.json:
        _write_json(options.json, {"heads": {name: looks.to_json() for name, looks in found.items()}})
    if options.json != "-":
        Console(width=max(CONSOLE.width, 160)).print(looks_table(found))


def _serve(options: argparse.Namespace) -> None:
    from engine.server.serve import serve

    serve(options.port, options.parent_stdin, options.device)


def _synthesise(options: argparse.Namespace, progress: Progress) -> None:
    from engine.synthetic.files import synthesise

    if options.seed < 0 or min(options.count, options.views) < 1 or not 16 <= options.size <= 2048:
        raise EngineError(
            "There is nothing to draw.", "Choose a seed from 0, at least one person and view, 16-2048 px."
        )
    heads = options.seed, options.count, options.views, options.size, options.same_expression
    written = synthesise(options.output, *heads, progress)
    CONSOLE.print(f"{len(written)} files; look at {written[-1]}", highlight=False, markup=False)


def _edit(options: argparse.Namespace, progress: Progress) -> None:
    from engine import avatar
    from engine.editing import interpolate, replace_region, transfer, with_expression

    _check_output(options.output, (".npz",))
    name = _name(options)
    progress.start("edit")
    first, second = avatar.load(options.first), avatar.load(options.second)
    if options.edit == "interpolate":
        made = interpolate(first, second, options.gamma, name)
    elif options.edit == "replace":
        made = replace_region(first, second, options.region, options.border / 1000, name)
    else:
        if not options.expression and not options.neutral:
            raise EngineError(
                "There is no expression to carry over.", "Give --expression KEY=WEIGHT or --neutral FILE."
            )
        neutral = avatar.load(options.neutral) if options.neutral else second
        made = transfer(first, with_expression(second, _expression(options.expression)), neutral, name)
    avatar.save(made.avatar, options.output)
    progress.finish()
    for note in made.notes:
        CONSOLE.print(note, highlight=False, markup=False)


def _train(options: argparse.Namespace, progress: Progress) -> None:
    import torch

    from engine.training.config import TrainConfig
    from engine.training.loop import train
    from engine.training.objective import Objective

    variant, data = (
        dict(word.partition("=")[::2] for word in words) for words in (options.variant, options.data)
    )  # fmt: skip
    if not all((*variant.values(), *data.values())):
        raise EngineError("A choice has no value.", "Write --variant NAME=VALUE, for example position_skip=false.")
    names = ("system", "out", "preset", "steps", "minutes", "seed", "learning_rate", "workers", "samples", "batch_size")
    config = TrainConfig(**{name: getattr(options, name) for name in names}, variant=variant, data=data)
    torch.manual_seed(config.seed)  # of the network's first weights
    objective = Objective(config.system, config.preset, config)
    say = functools.partial(CONSOLE.print, highlight=False, markup=False, soft_wrap=True)
    weights = train(config, objective, say, progress)
    CONSOLE.print(f"The weights are in {weights}", highlight=False, markup=False)


def _ablate(options: argparse.Namespace, progress: Progress) -> None:
    from engine.systems import networks
    from engine.training.ablation import Study, ablate, markdown

    study = Study(options.out, options.samples, options.steps, options.seeds, options.people)
    say = functools.partial(CONSOLE.print, highlight=False, markup=False, soft_wrap=True)
    findings = ablate(study, options.system or tuple(networks()), say, progress)
    print(markdown(findings), end="")


def _benchmark(options: argparse.Namespace, progress: Progress) -> None:
    if options.gpu:
        _benchmark_gpu(options, progress)
        return
    from engine.benchmark.context import context_costs, write_plot
    from engine.benchmark.cpu import benchmark

    if options.plot:
        _check_output(options.plot, (".png",))
    figures = benchmark(progress)
    costs = context_costs(progress)
    if options.plot:
        write_plot(costs, options.plot)
    if options.json:
        _write_json(options.json, figures | {"context": costs})
    if options.json != "-":
        table = Table(show_header=False)
        for key, value in figures.items():
            table.add_row(key, f"{value:.3g}" if isinstance(value, float) else str(value))
        context = Table(*costs[0])
        for row in costs:
            context.add_row(*(f"{value:.4g}" for value in row.values()))
        Console().print(table, context)


def _soak(options: argparse.Namespace, progress: Progress) -> None:
    from engine.benchmark.soak import soak

    told = soak(options.minutes, progress)
    if options.json:
        _write_json(options.json, told)
    if options.json != "-":
        table = Table("minute", "MB", "threads", "handles", "preview ms")
        for row in told["rounds"]:
            table.add_row(*(f"{value:.4g}" for value in row.values()))
        Console().print(table, f"{told['jobs']} jobs, {told['previews']} previews")
    if told["grown"]:
        raise EngineError("The server grows with use: " + " ".join(told["grown"]), "Report this with the table.")


def _benchmark_gpu(options: argparse.Namespace, progress: Progress) -> None:
    from engine.benchmark.gpu import benchmark_gpu, published, training_commands
    from engine.benchmark.rows import told

    rows = benchmark_gpu(options.output, progress)
    if options.json:
        _write_json(options.json, [vars(row) for row in rows])
    if options.json != "-":
        table = Table("row", "measured", "peak GB", "published")
        for row in rows:
            peak = "" if row.peak_gb is None else f"{row.peak_gb:.1f}"
            table.add_row(row.name, told(row), peak, published(row.name))
        Console().print(table, markup=False)
        Console().print("Training runs to start:", *training_commands(), sep="\n", highlight=False, soft_wrap=True)
