"""The photo stage: files in, prepared photos of one person out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from engine.errors import PhotoError
from engine.photos.clips import choose_frames, clip_frames, is_clip
from engine.photos.decode import FORMATS
from engine.photos.near import decode_near
from engine.photos.outliers import set_aside_outliers
from engine.photos.photo import Photo, PhotoSet, SetAside
from engine.photos.preparation import prepare
from engine.progress import Progress

MAX_PHOTOS = 64  # photos and frames together; more cost time without telling more
DEFAULT_FRAMES = 8  # of a clip
CHOOSING = 0.5  # share of a clip's time spent on choosing its frames


def is_photo_or_clip(path: Path) -> bool:
    """Whether the file's name says that :func:`load_photos` can read it."""
    return is_clip(path) or Image.registered_extensions().get(path.suffix.lower()) in FORMATS


def load_photos(paths: Sequence[Path], progress: Progress, frames: int | None = None) -> PhotoSet:
    """Decode, find, cut, matte and compare photos and frames of clips.

    A file that cannot be used is set aside with its reason and the others go on.

    Args:
        paths: images and clips, told apart by suffix, 1 to ``MAX_PHOTOS``.
        progress: its running stage is told the share of files done.
        frames: frames to take of each clip, ``DEFAULT_FRAMES`` if None.

    Raises:
        PhotoError: no photo can be used (all reasons in one message), too many photos, or no positive ``frames``.
    """
    frames = DEFAULT_FRAMES if frames is None else frames
    if frames < 1:
        raise PhotoError(f"{frames} frames of a clip were asked for.", "Ask for at least 1.")
    wanted = sum(frames if is_clip(path) else 1 for path in paths)
    if wanted > MAX_PHOTOS:
        raise PhotoError(
            f"{wanted} photos and frames were given; at most {MAX_PHOTOS} are used.",
            "Choose those that differ most in pose and expression.",
        )
    photos: list[Photo] = []
    broken: list[SetAside] = []
    for done, (path, name) in enumerate(zip(paths, _names(paths), strict=True)):
        span = (done / len(paths), (done + 1) / len(paths))
        try:
            loaded = _from_clip(path, name, frames, progress, span) if is_clip(path) else _from_image(path, name)
            photos.extend(loaded.photos)
            broken.extend(loaded.set_aside)
        except PhotoError as error:
            broken.append(SetAside(name, str(error)))
        progress.update(span[1])
    if not photos:
        reasons = " ".join(photo.reason for photo in broken) or "None was given."
        raise PhotoError(f"No photo can be used. {reasons}", "Give at least one photo that shows a face.")
    chosen = set_aside_outliers(photos)
    return PhotoSet(chosen.photos, (*broken, *chosen.set_aside))


def _names(paths: Sequence[Path]) -> list[str]:
    """What the files are called: their names, with the folder and, if need be, a number where two have the same."""
    names: list[str] = []
    for path in paths:
        alike = sum(other.name == path.name for other in paths)
        name = path.name if alike == 1 else f"{path.absolute().parent.name}/{path.name}"
        again = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({again + 1})" if again else name)
    return names


def _from_image(path: Path, name: str) -> PhotoSet:
    decoded = decode_near(path)
    photo = prepare(decoded.image, name, file_sha256(path), decoded.focal, decoded.place)
    return PhotoSet((replace(photo, warnings=decoded.warnings + photo.warnings),))


def _from_clip(path: Path, clip: str, count: int, progress: Progress, span: tuple[float, float]) -> PhotoSet:
    middle = span[0] + CHOOSING * (span[1] - span[0])
    indices = choose_frames(path, count, progress, (span[0], middle))
    sha256 = file_sha256(path)
    photos: dict[int, Photo] = {}
    broken: list[SetAside] = []
    for done, (index, image) in enumerate(clip_frames(path, indices), start=1):
        name = f"{clip}#{index}"
        try:
            photos[index] = prepare(image, name, sha256)
        except PhotoError as error:
            broken.append(SetAside(name, str(error)))
        progress.update(middle + (span[1] - middle) * done / len(indices))
    return PhotoSet(tuple(photos[index] for index in indices if index in photos), tuple(broken))


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
