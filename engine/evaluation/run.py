"""``python -m engine evaluate``: a clip, or a ready-made split of photos, to a report and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.atomic import make_folder
from engine.errors import PhotoError
from engine.evaluation.reenactment import Reenactment, reenact
from engine.evaluation.report import Report
from engine.evaluation.sheet import comparison_strip, contact_sheet
from engine.evaluation.subject import AvatarSubject, make_instruments, reconstruct_subject
from engine.photos import clip_frames, clip_length, load_photos, prepare
from engine.photos.photo import Photo, PhotoSet, SetAside, matted
from engine.pipeline import Options
from engine.progress import Progress

TARGETS = 24  # frames; the protocol asks for 20 at least
SPARE = 8  # frames read beyond that, in place of those without a face or too near a source
APART = 3  # frames; a target nearer to a source would only measure copying


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` found, and the source photos it reconstructed from."""

    reenactment: Reenactment[AvatarSubject]
    sources: tuple[Photo, ...]

    @property
    def report(self) -> Report:
        """The figures."""
        return self.reenactment.report

    def write_pictures(self, folder: Path) -> None:
        """Write ``strip.png`` (photo, tracked, landmark drive) and ``sheet.png`` (photos, yaw sweep, expressions).

        Raises:
            OutputError: the folder cannot be made or written to.
        """
        make_folder(folder)
        photos = {photo.name: matted(photo) for photo in self.sources}
        comparison_strip(self.reenactment.comparisons, folder / "strip.png")
        contact_sheet(self.reenactment.subject.avatar, photos, folder / "sheet.png")


def evaluate_clip(clip: Path, source_count: int, target_count: int, options: Options, progress: Progress) -> Evaluation:
    """Self-reenactment within one clip.

    Sources are the most frontal, neutral and sharp frame, then those that differ most from it (as ``reconstruct`` takes
    frames from a clip). Targets are spread evenly over the clip, none a source or next to one.

    Args:
        source_count: frames to reconstruct from, 1 or 4 in the papers.
        target_count: frames to measure on, 20 or more; fewer are used when the clip has not as many.

    Raises:
        PhotoError: the clip cannot be read, or shows no face in what would be a source or in any target.
    """
    progress.start("source photos")
    sources = load_photos([clip], progress, frames=source_count)
    progress.start("target photos")
    taken = [int(photo.name.rpartition("#")[2]) for photo in sources.photos]
    numbers = target_numbers(clip_length(clip), taken, target_count + SPARE)
    targets: list[Photo] = []
    broken: list[SetAside] = []
    for done, (number, image) in enumerate(clip_frames(clip, numbers), start=1):
        name = f"{clip.name}#{number}"
        try:
            targets.append(prepare(image, name, sources.photos[0].sha256))
        except PhotoError as error:
            broken.append(SetAside(name, str(error)))
        progress.update(done / len(numbers))
    kept = [targets[i] for i in _evenly(len(targets), target_count)]
    return _evaluate(sources, kept, broken, options, progress)


def evaluate_split(source_photos: Path, target_photos: Path, options: Options, progress: Progress) -> Evaluation:
    """Self-reenactment with a ready-made split.

    Every target that shows a face is measured, however blurred.

    Args:
        source_photos, target_photos: folders of photos of one person.

    Raises:
        PhotoError: a folder is missing or without a usable photo, or a photo is in both.
    """
    progress.start("source photos")
    sources = load_photos(_files(source_photos), progress)
    progress.start("target photos")
    paths = _files(target_photos)
    targets: list[Photo] = []
    broken: list[SetAside] = []
    for done, path in enumerate(paths, start=1):
        try:
            loaded = load_photos([path], Progress(is_cancelled=progress.is_cancelled))  # alone: none is set aside for
            targets.extend(loaded.photos)  # the others' sake
            broken.extend(loaded.set_aside)
        except PhotoError as error:
            broken.append(SetAside(path.name, str(error)))
        progress.update(done / len(paths))
    return _evaluate(sources, targets, broken, options, progress)


def target_numbers(length: int, sources: Sequence[int], count: int) -> list[int]:
    """Frame numbers spread evenly over a clip, none within :data:`APART` of a source.

    Args:
        length: of the clip, frames. sources: frame numbers. count: wanted; fewer in a short clip.
    """
    far = [number for number in range(length) if all(abs(number - source) >= APART for source in sources)]
    return [far[i] for i in _evenly(len(far), count)]


def _evaluate(
    sources: PhotoSet, targets: Sequence[Photo], broken: Sequence[SetAside], options: Options, progress: Progress
) -> Evaluation:
    measured = reenact(
        sources.photos,
        targets,
        lambda photos, progress: reconstruct_subject(photos, options, progress),
        make_instruments(),
        progress,
        (*sources.set_aside, *broken),
    )
    return Evaluation(measured, sources.photos)


def _evenly(length: int, count: int) -> list[int]:
    """Up to ``count`` positions, spread over 0 .. ``length`` - 1 with both ends."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int)).tolist()


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise PhotoError(f"{folder} is not a folder.", "Give a folder of photos.")
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
