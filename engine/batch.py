"""A folder of people to a folder of avatars, and of .blend files where a Blender is named."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import avatar, pipeline
from engine.atomic import atomic_write, check_writable, make_folder
from engine.errors import Cancelled, EngineError, PhotoError
from engine.estimate import Estimate, typical_seconds
from engine.formats.avatar_layout import plain_name
from engine.photos.clips import is_clip
from engine.photos.load import is_photo_or_clip
from engine.pipeline import Options
from engine.progress import Progress

SCRIPT = Path(__file__).with_name("blender") / "save_head.py"
BLENDER_SECONDS = 600
SAID = re.compile(r"^\w+Error: (?:Error: )?(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What became of one person.

    Attributes:
        name: of the person. photos: how many were given. seconds: spent.
        error: what went wrong and what to do, "" when all went well.
        notes: sentences on photos that were left out.
    """

    name: str
    photos: int
    seconds: float
    error: str
    notes: tuple[str, ...] = ()


def left_out(folder: Path, people: Mapping[str, Sequence[Path]]) -> list[Path]:
    """What lies in a folder of people and is nobody's: files of other kinds, and folders within a person's."""
    taken = {path for photos in people.values() for path in photos}
    places = [folder, *(entry for entry in folder.iterdir() if entry.is_dir())]
    inside = [entry for place in places for entry in place.iterdir() if not entry.name.startswith(".")]
    return sorted(entry for entry in inside if entry not in taken and entry not in places)


def find_people(folder: Path) -> dict[str, list[Path]]:
    """Photos and clips by person: every subfolder with photos, and every single photo or clip, is one.

    Raises:
        PhotoError: no photo anywhere, or two people of one name.
    """
    if not folder.is_dir():
        raise PhotoError(f"The folder {folder} does not exist.", "Name a folder with one subfolder per person.")
    people: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        photos = _photos(sorted(entry.iterdir())) if entry.is_dir() else _photos([entry])
        if not photos:
            continue
        name = entry.name if entry.is_dir() else entry.stem
        if name in people:
            raise PhotoError(f"Two entries of {folder} are called {name}.", "Rename one: the name is the result's.")
        people[name] = photos
    if not people:
        raise PhotoError(f"No photo was found in {folder}.", "Put each person's photos into a subfolder of their own.")
    return people


def reconstruct_people(
    people: Mapping[str, Sequence[Path]],
    output: Path,
    options: Options,
    blender: Path | None,
    progress: Progress,
) -> list[Outcome]:
    """Reconstruct every person into ``output``, one after the other; one that fails does not stop the others.

    Args:
        people: photos by name. output: folder for NAME.npz and NAME.blend, made if missing.
        blender: program that also saves a .blend of each; it must have the extension installed.
        progress: is told the person's name as the stage.

    Raises:
        EngineError: there is no such Blender. OutputError: the folder cannot be made. Cancelled: asked to stop.
    """
    if blender is not None and shutil.which(blender) is None:
        raise EngineError(f"There is no program {blender}.", "Give --blender the path of Blender's program.")
    make_folder(output)
    outcomes = []
    for name, photos in people.items():
        began, problem, notes = time.monotonic(), "", ()
        try:
            progress.start(name)
            notes = _reconstruct(name, photos, output, options, progress)
            if blender is not None:
                save_blend(blender, output / f"{name}.npz", output / f"{name}.blend")
        except Cancelled:
            raise
        except EngineError as error:
            problem = str(error)
        except Exception as error:  # one odd photo must not cost the others a night
            traceback.print_exc()
            problem = f"Unexpected error ({type(error).__name__}: {error}). See the output above."
        outcomes.append(Outcome(name, len(photos), time.monotonic() - began, problem, notes))
    progress.finish()
    return outcomes


def save_blend(blender: Path, head: Path, blend: Path) -> None:
    """Have Blender, in the background and with its factory settings, import an avatar file and save a .blend.

    Raises:
        EngineError: Blender failed; the message carries its last words.
    """
    with atomic_write(blend) as temporary:
        command = [str(blender), "--background", "--factory-startup", "--python-exit-code", "5"]
        command += ["--python-expr", SCRIPT.read_text("utf-8"), "--", str(head.absolute()), str(temporary.absolute())]
        way_out = "Install the extension in that Blender (4.2 or newer) and start it once; then try again."
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=BLENDER_SECONDS)
        except subprocess.TimeoutExpired:
            raise EngineError(f"Blender took over {BLENDER_SECONDS} s to save {blend.name}.", way_out) from None
        if done.returncode or not temporary.stat().st_size:
            said = SAID.findall(done.stdout + done.stderr) or ["It did not say why."]
            raise EngineError(f"Blender did not save {blend.name}. {said[-1]}", way_out)


def _photos(entries: Iterable[Path]) -> list[Path]:
    return [path for path in entries if path.is_file() and not path.name.startswith(".") and is_photo_or_clip(path)]


def _reconstruct(
    name: str, photos: Sequence[Path], output: Path, options: Options, progress: Progress
) -> tuple[str, ...]:
    """One person's avatar; returns what was said of photos that were left out or did little."""
    check_writable(output / f"{name}.npz")
    clips = sum(map(is_clip, photos))
    estimate = Estimate(typical_seconds(options, len(photos) - clips, clips))

    def report(stage: str, fraction: float) -> None:
        estimate.update(stage, fraction, time.monotonic())
        progress.update(estimate.fraction)

    inner = Progress(report)
    made = pipeline.reconstruct(photos, plain_name(name), options, inner)
    inner.start("files")
    avatar.save(made.avatar, output / f"{name}.npz")
    inner.finish()
    warnings = (warning for photo in made.photos for warning in photo.warnings)
    return (*(entry.reason for entry in made.set_aside), *made.notes, *warnings)
