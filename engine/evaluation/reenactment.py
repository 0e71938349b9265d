"""Self-reenactment: reconstruct from some frames, render others of the same person, and measure the difference."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from engine.errors import PhotoError
from engine.evaluation.metrics import (
    BACKGROUNDS,
    Scores,
    Truth,
    cosine,
    image_scores,
    keypoint_distance,
    matte_iou,
    mean_scores,
    regions,
)
from engine.evaluation.report import FrameReport, Report
from engine.perceptual import LPIPS
from engine.photos.photo import CROP, MARGIN, Photo
from engine.progress import Progress
from engine.rendering import Picture
from engine.tracking.tracked import View

STRIP_FRAMES = 6


class Subject(Protocol):
    """A finished avatar that can be posed like a photo of the same person. Its appearance never changes again."""

    @property
    def source_views(self) -> Sequence[View]:
        """The source photos' own views, in their order."""

    def drive_landmarks(self, photo: Photo) -> View:
        """The avatar's pose and expression in another photo, from its landmarks alone."""

    def drive_photometric(self, photo: Photo, start: View) -> View:
        """The same, polished against the photo's pixels."""

    def picture(self, view: View) -> Picture:
        """The avatar in a view, over the inner :data:`~engine.photos.photo.CROP` of that photo's window."""


class Instruments(Protocol):
    """The measuring networks, all run on matted crops over white, renders and photos alike, so that bias cancels."""

    @property
    def lpips(self) -> LPIPS:
        """The perceptual distance."""

    def landmarks(self, image: np.ndarray) -> np.ndarray | None:
        """[478, 2] float32 pixels in ``image`` [H, W, 3] uint8, or None where no face is found."""

    def embedding(self, image: np.ndarray) -> np.ndarray | None:
        """[128] float32 unit-length identity in ``image`` [H, W, 3] uint8, or None where no face is found."""


@dataclass(frozen=True)
class Comparison:
    """One target frame for the eye, all over white: target, tracked and landmark drive, [H, W, 3] float32 each."""

    name: str
    target: torch.Tensor
    tracked: torch.Tensor
    landmark: torch.Tensor


@dataclass(frozen=True)
class Evaluation:
    """A report, the pictures that go with it, and the avatar that was measured."""

    report: Report
    comparisons: tuple[Comparison, ...]
    subject: Subject


def truth_of(photo: Photo) -> Truth:
    """The inner crop of a photo as the thing to be matched."""
    inner = slice(MARGIN, MARGIN + CROP)
    return Truth(
        torch.from_numpy(np.ascontiguousarray(photo.image[inner, inner])),
        torch.from_numpy(np.ascontiguousarray(photo.alpha[inner, inner])),
        torch.from_numpy(np.ascontiguousarray(photo.valid[inner, inner])),
        photo.landmarks[:, :2] - MARGIN,
    )


def reenact(
    sources: Sequence[Photo],
    targets: Sequence[Photo],
    reconstruct: Callable[[Sequence[Photo], Progress], Subject],
    instruments: Instruments,
    progress: Progress,
) -> Evaluation:
    """Reconstruct from ``sources``, then drive and measure on ``targets``.

    ``reconstruct`` sees the sources and nothing else; a target only ever poses the finished avatar.

    Args:
        sources: one or more prepared photos.
        targets: one or more prepared photos of the same person, none of them a source.

    Raises:
        PhotoError: there is no source or no target, or a target is one of the sources.
    """
    _check_split(sources, targets)
    subject = reconstruct(sources, progress)

    progress.start("drive by landmarks")
    landmark_views = []
    for i, photo in enumerate(targets):
        landmark_views.append(subject.drive_landmarks(photo))
        progress.update((i + 1) / len(targets))
    progress.start("drive by photos")
    tracked_views = []
    for i, (photo, view) in enumerate(zip(targets, landmark_views, strict=True)):
        tracked_views.append(subject.drive_photometric(photo, view))
        progress.update((i + 1) / len(targets))

    progress.start("measure")
    ruler = _Ruler(instruments, sources)
    source_scores = [
        ruler.score(subject.picture(view), photo) for photo, view in zip(sources, subject.source_views, strict=True)
    ]
    frames, comparisons, real = [], [], []
    shown = set(np.linspace(0, len(targets) - 1, min(STRIP_FRAMES, len(targets))).round().astype(int).tolist())
    for i, (photo, tracked, landmark) in enumerate(zip(targets, tracked_views, landmark_views, strict=True)):
        pictures = subject.picture(tracked), subject.picture(landmark)
        frames.append(FrameReport(photo.name, *(ruler.score(picture, photo) for picture in pictures)))
        real.append(ruler.likeness(ruler.photo_embedding(photo)))
        if i in shown:
            truth = truth_of(photo)
            comparisons.append(Comparison(photo.name, truth.over(1.0), *(_masked(p, truth) for p in pictures)))
        progress.update((i + 1) / len(targets))
    progress.finish()

    report = Report(
        tracked=mean_scores([frame.tracked for frame in frames]),
        landmark=mean_scores([frame.landmark for frame in frames]),
        source_view=mean_scores(source_scores),
        csim_real=float(np.nanmean(real)) if not np.isnan(real).all() else float("nan"),
        seconds=dict(progress.seconds),
        sources=tuple(photo.name for photo in sources),
        frames=tuple(frames),
        set_aside={},
    )
    return Evaluation(report, tuple(comparisons), subject)


class _Ruler:
    """Measures pictures against photos; looks at every photo's real face once."""

    def __init__(self, instruments: Instruments, sources: Sequence[Photo]):
        self._instruments = instruments
        self._seen: dict[tuple[str, str], tuple[np.ndarray | None, np.ndarray | None]] = {}
        self._source_embeddings = [self.photo_embedding(photo) for photo in sources]

    def photo_embedding(self, photo: Photo) -> np.ndarray | None:
        """[128] identity in the photo's matted crop."""
        return self._look(photo)[1]

    def likeness(self, embedding: np.ndarray | None) -> float:
        """Mean cosine against the sources; NaN without a face."""
        values = [value for source in self._source_embeddings if not np.isnan(value := cosine(embedding, source))]
        return float(np.mean(values)) if values else float("nan")

    def score(self, picture: Picture, photo: Photo) -> Scores:
        """All measures of one picture."""
        truth = truth_of(photo)
        landmarks, embedding = self._look(photo)
        seen = _eight_bit(_masked(picture, truth))
        found, identity = self._instruments.landmarks(seen), self._instruments.embedding(seen)
        measured = {
            name + suffix: image_scores(picture.over(grey), truth.over(grey), region, grey, self._instruments.lpips)
            for suffix, grey in BACKGROUNDS.items()
            for name, region in regions(truth).items()
        }
        return Scores(
            regions=measured,
            iou=matte_iou(picture.alpha, truth),
            akd=keypoint_distance(found, landmarks),
            csim=cosine(identity, embedding),
            csim_source=self.likeness(identity),
            faces_missed=int(found is None),
        )

    def _look(self, photo: Photo) -> tuple[np.ndarray | None, np.ndarray | None]:
        key = photo.name, photo.sha256
        if key not in self._seen:
            image = _eight_bit(truth_of(photo).over(1.0))
            self._seen[key] = self._instruments.landmarks(image), self._instruments.embedding(image)
        return self._seen[key]


def _masked(picture: Picture, truth: Truth) -> torch.Tensor:
    """[H, W, 3] over white, white also where the photo has no pixels."""
    return torch.where(truth.valid[..., None], picture.over(1.0), 1.0)


def _eight_bit(image: torch.Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def _check_split(sources: Sequence[Photo], targets: Sequence[Photo]) -> None:
    if not sources or not targets:
        kind = "source" if not sources else "target"
        raise PhotoError(f"No usable {kind} photo is left.", "Give photos or a clip in which one face is clearly seen.")
    used = {_content(photo): photo.name for photo in sources}
    for photo in targets:
        if _content(photo) in used:
            raise PhotoError(
                f"The target {photo.name} is also a source ({used[_content(photo)]}).",
                "Keep the two sets apart: a target that was seen measures nothing.",
            )


def _content(photo: Photo) -> tuple[str, str]:
    """What tells two photos apart whatever they are called: the file's hash, and the frame's number in a clip."""
    return photo.sha256, "".join(re.findall(r"#\d+$", photo.name))
