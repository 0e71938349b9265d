"""Self-reenactment: reconstruct from some frames, render others of the same person, and measure the difference."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch

from engine.errors import PhotoError
from engine.evaluation.metrics import (
    BACKGROUNDS,
    Scores,
    Truth,
    image_scores,
    keypoint_distance,
    matte_iou,
    mean,
    mean_scores,
    regions,
)
from engine.evaluation.report import FrameReport, Report
from engine.perceptual import LPIPS
from engine.photos.photo import INNER, MARGIN, Photo, SetAside
from engine.progress import Progress
from engine.rendering import Picture
from engine.tracking.tracked import View

STRIP_FRAMES = 6


class Drivable(Protocol):
    """A finished avatar that can be posed like a photo of the same person. Its appearance never changes again."""

    @property
    def source_views(self) -> Sequence[View]:
        """The source photos' own views, in their order."""
        ...

    def drive_landmarks(self, photo: Photo) -> View:
        """The avatar's pose and expression in another photo, from its landmarks alone."""
        ...

    def drive_photometric(self, photo: Photo, start: View) -> View:
        """The same, polished against the photo's pixels."""
        ...

    def picture(self, view: View) -> Picture:
        """The avatar in a view, over the inner :data:`~engine.photos.photo.CROP` of that photo's window."""
        ...


@dataclass(frozen=True)
class Sighting:
    """A face as measured in a crop: landmarks [478, 2] in its pixels, unit-length SFace embedding [128]."""

    landmarks: np.ndarray
    embedding: np.ndarray


@dataclass(frozen=True)
class Instruments:
    """The measuring networks. All look at matted crops over white, renders and photos alike, so that bias cancels.

    Attributes:
        lpips: the perceptual distance.
        look: the face in [H, W, 3] uint8, or None where none is found.
    """

    lpips: LPIPS
    look: Callable[[np.ndarray], Sighting | None]


@dataclass(frozen=True)
class Comparison:
    """One target frame for the eye, all over white: target, tracked and landmark drive, [H, W, 3] float32 each."""

    name: str
    target: torch.Tensor
    tracked: torch.Tensor
    landmark: torch.Tensor


DrivableT = TypeVar("DrivableT", bound=Drivable)


@dataclass(frozen=True)
class Reenactment(Generic[DrivableT]):
    """A report, the pictures that go with it, and the avatar that was measured."""

    report: Report
    comparisons: tuple[Comparison, ...]
    subject: DrivableT


def truth_of(photo: Photo) -> Truth:
    """The inner crop of a photo as the thing to be matched."""
    return Truth(
        torch.from_numpy(np.ascontiguousarray(photo.image[INNER, INNER])),
        torch.from_numpy(np.ascontiguousarray(photo.alpha[INNER, INNER])),
        torch.from_numpy(np.ascontiguousarray(photo.valid[INNER, INNER])),
        photo.landmarks[:, :2] - MARGIN,
    )


def reenact(
    sources: Sequence[Photo],
    targets: Sequence[Photo],
    reconstruct: Callable[[Sequence[Photo], Progress], DrivableT],
    instruments: Instruments,
    progress: Progress,
    set_aside: Sequence[SetAside] = (),
) -> Reenactment[DrivableT]:
    """Reconstruct from ``sources``, then drive and measure on ``targets``.

    ``reconstruct`` sees the sources and nothing else; a target only ever poses the finished avatar.

    Args:
        sources: one or more prepared photos.
        targets: one or more prepared photos of the same person, none of them a source.
        set_aside: what could not be used, for the report.

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
    known = [_sight(photo, instruments) for photo in sources]
    source_scores = [
        _score(subject.picture(view), photo, face, known, instruments)
        for view, photo, face in zip(subject.source_views, sources, known, strict=True)
    ]
    frames, comparisons, real = [], [], []
    shown = set(np.linspace(0, len(targets) - 1, min(STRIP_FRAMES, len(targets))).round().astype(int).tolist())
    for i, (photo, tracked, landmark) in enumerate(zip(targets, tracked_views, landmark_views, strict=True)):
        pictures, face = (subject.picture(tracked), subject.picture(landmark)), _sight(photo, instruments)
        scores = (_score(picture, photo, face, known, instruments) for picture in pictures)
        frames.append(FrameReport(photo.name, *scores))
        real.append(_likeness(face, known))
        if i in shown:
            truth = truth_of(photo)
            comparisons.append(Comparison(photo.name, truth.over(1.0), *(_masked(p, truth) for p in pictures)))
        progress.update((i + 1) / len(targets))
    progress.finish()

    report = Report(
        tracked=mean_scores([frame.tracked for frame in frames]),
        landmark=mean_scores([frame.landmark for frame in frames]),
        source_view=mean_scores(source_scores),
        csim_real=mean(real),
        seconds=dict(progress.seconds),
        sources=tuple(photo.name for photo in sources),
        frames=tuple(frames),
        set_aside={photo.name: photo.reason for photo in set_aside},
    )
    return Reenactment(report, tuple(comparisons), subject)


def _score(
    picture: Picture, photo: Photo, real: Sighting | None, sources: Sequence[Sighting | None], instruments: Instruments
) -> Scores:
    """All measures of one picture of the avatar."""
    truth = truth_of(photo)
    made = instruments.look(_eight_bit(_masked(picture, truth)))
    akd = csim = math.nan
    if made is not None and real is not None:
        akd, csim = keypoint_distance(made.landmarks, real.landmarks), float(made.embedding @ real.embedding)
    return Scores(
        regions={
            name + suffix: image_scores(picture.over(grey), truth.over(grey), region, grey, instruments.lpips)
            for suffix, grey in BACKGROUNDS.items()
            for name, region in regions(truth).items()
        },
        iou=matte_iou(picture.alpha, truth),
        akd=akd,
        csim=csim,
        csim_source=_likeness(made, sources),
        faces_missed=int(made is None),
    )


def _sight(photo: Photo, instruments: Instruments) -> Sighting | None:
    return instruments.look(_eight_bit(truth_of(photo).over(1.0)))


def _likeness(face: Sighting | None, sources: Sequence[Sighting | None]) -> float:
    """Mean cosine against the sources; NaN without a face."""
    if face is None:
        return math.nan
    return mean([float(face.embedding @ source.embedding) for source in sources if source is not None])


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
