"""The product's main sentence: photos in, an animatable Gaussian head out."""

from __future__ import annotations

import datetime
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import engine
from engine.avatar import Avatar, SourceView, load
from engine.device import AUTO, CPU, Device, attempt, check_wanted, chosen_device, moved
from engine.errors import AvatarError, EngineError, PhotoError
from engine.heads import DEFAULT, load_head
from engine.heads.atlas import DEFAULT_TEXELS
from engine.heads.parametric import ParametricHead
from engine.heads.rig import person_fields
from engine.models.head_gaussians import HeadGaussians
from engine.models.parts import close_lids, furnish
from engine.photos import load_photos
from engine.photos.check import STEEP, too_steep
from engine.photos.outliers import SAME_PERSON
from engine.photos.photo import WINDOW, Photo, PhotoSet, SetAside
from engine.progress import Progress
from engine.refinement import ITERATIONS, refine
from engine.systems import DEFAULT_SYSTEM, equipped, system, systems
from engine.tracking import track
from engine.tracking.tracked import Tracked, View

if TYPE_CHECKING:
    from engine.models.spec import KnownPerson, SystemSpec

SEEN = 0.5  # from which a Gaussian counts as shown by a photo
USEFUL = 0.003  # of these, the share that a photo has to show best
ENOUGH = 0.8  # of refinement's rounds, after which more would hardly be seen


@dataclass(frozen=True)
class Quality:
    """What a head of it gets: iterations of refinement for one photo, and Gaussians on the surface."""

    iterations: int
    gaussians: int


QUALITIES = {
    "draft": Quality(20, 40_000),
    "normal": Quality(ITERATIONS, DEFAULT_TEXELS),
    "high": Quality(200, 300_000),
}


@dataclass(frozen=True)
class Options:
    """What a user may choose.

    Attributes:
        system: a name of :func:`engine.systems.systems`.
        head: ``makehuman`` or the path of a FLAME file.
        quality: a key of :data:`QUALITIES`.
        refine_seconds: the most that refinement may take for one photo, the system's own included, however far it came;
            0 skips both, None lets them end.
        count: Gaussians on the surface, where it is not the quality's; hair and torso come on top.
        frames: frames taken from each clip.
        device: for networks and refinement: "auto", "cpu", "cuda" or "cuda:1" and so on.
        weights: a file of weights for the system; "" takes those that come with the engine.
        correspondence: for official weights, see :data:`engine.models.spec.CORRESPONDENCES`.
    """

    system: str = DEFAULT_SYSTEM
    head: str = DEFAULT
    quality: str = "normal"
    refine_seconds: float | None = None
    count: int | None = None
    frames: int = 4
    device: str = AUTO
    weights: str = ""
    correspondence: str = "estimator"

    @property
    def equipped(self) -> SystemSpec:
        """The system with these weights."""
        return equipped(self.system, self.weights, self.head, self.correspondence)

    @property
    def iterations(self) -> int:
        """Of refinement, for one photo."""
        return QUALITIES[self.quality].iterations

    @property
    def gaussians(self) -> int:
        """On the surface."""
        return self.count or QUALITIES[self.quality].gaussians

    @property
    def cap(self) -> float:
        """Seconds for refinement, the system's own included; infinite where there is no limit."""
        return math.inf if self.refine_seconds is None else self.refine_seconds

    @property
    def own_seconds(self) -> float:
        """What of :attr:`cap` the system may spend on itself; the Gaussians' refinement has the rest."""
        return self.cap / 2 if system(self.system).own_refinement else 0.0

    @property
    def rest_seconds(self) -> float:
        """What of :attr:`cap` the Gaussians' refinement has."""
        return self.own_seconds or self.cap

    def __post_init__(self) -> None:
        _ = self.equipped  # refuses what does not go together
        check_wanted(self.device)
        if self.quality not in QUALITIES:
            raise EngineError(f"There is no quality {self.quality}.", f"Choose one of: {', '.join(QUALITIES)}.")
        if not 1_000 <= self.gaussians <= 2_000_000:
            raise EngineError(f"{self.count} Gaussians are out of range.", "Choose 1 000 to 2 000 000.")
        if self.refine_seconds is not None and not 0 <= self.refine_seconds <= 3600:
            raise EngineError(f"A refinement of {self.refine_seconds} s is out of range.", "Choose 0 to 3600 seconds.")


@dataclass(frozen=True)
class Reconstruction:
    """A finished head and everything that led to it.

    Attributes:
        avatar: the result. photos: those used. set_aside: those not used, and why. tracked: the fit, with its report.
        model: rig and Gaussians as tensors, on the CPU. head: the head model. seconds: wall-clock time per stage.
        device: that did what is done on tensors. notes: of what went otherwise than the user would expect.
    """

    avatar: Avatar
    photos: tuple[Photo, ...]
    set_aside: tuple[SetAside, ...]
    tracked: Tracked
    model: HeadGaussians
    head: ParametricHead
    seconds: dict[str, float]
    device: Device
    notes: tuple[str, ...] = ()


def reconstruct(paths: Sequence[Path], name: str, options: Options, progress: Progress) -> Reconstruction:
    """Photos or clips to an avatar.

    Args:
        paths: image files, clips, or both; see :func:`engine.photos.load_photos`.
        name: the avatar's name in Blender.

    Raises:
        PhotoError: no photo is usable. HeadModelError, AssetError: the head model cannot be loaded.
        Cancelled: the user asked to stop.
    """
    progress.start("photos")
    chosen = load_photos(paths, progress, frames=options.frames)
    return reconstruct_photos(chosen, name, options, progress)


def reconstruct_photos(chosen: PhotoSet, name: str, options: Options, progress: Progress) -> Reconstruction:
    """The same from photos that are already prepared."""
    photos, where = chosen.photos, chosen_device(options.device, progress)
    progress.start("head model")
    chosen_system = options.equipped
    head = chosen_system.prepare(load_head(options.head))
    progress.start("tracking")
    tracked = track(photos, head, progress)
    photos = _warned(photos, tracked)
    progress.start(options.system)

    def make(there: torch.device) -> HeadGaussians:
        return chosen_system.reconstruct(photos, tracked, head, progress, options.gaussians, options.own_seconds, there)

    model = furnish(attempt(make, where.torch, options.system, progress), photos, head)
    photos = _compared(photos, model)
    progress.start("refinement")
    model, views = _refined(model, photos, head, where, progress, options.iterations, options.rest_seconds)
    photos = _cut_short(photos, model)
    progress.start("avatar")
    model = close_lids(model, head)
    tracked = replace(tracked, views=views)
    avatar = make_avatar(name, head, model, photos, tracked, options)
    progress.finish()
    said = tuple(progress.notes)
    return Reconstruction(avatar, photos, chosen.set_aside, tracked, model, head, dict(progress.seconds), where, said)


def _refined(
    model: HeadGaussians,
    photos: Sequence[Photo],
    head: ParametricHead,
    where: Device,
    progress: Progress,
    iterations: int,
    seconds: float,
) -> tuple[HeadGaussians, tuple[View, ...]]:
    """Refinement on the device, from the CPU and back to it."""

    def work(there: torch.device) -> tuple[HeadGaussians, tuple[View, ...]]:
        refined, views = refine(moved(model, there), photos, model.views, head, progress, iterations, seconds)
        return moved(refined, CPU), views

    return attempt(work, where.torch, "refinement", progress)


def _warned(photos: Sequence[Photo], tracked: Tracked) -> tuple[Photo, ...]:
    """The photos, the first with a warning where all of them show the face from far aside."""
    yaws = [abs(row[5]) for row in tracked.residuals]
    if min(yaws) <= STEEP:
        return tuple(photos)
    return _with(photos, 0, too_steep(photos[0].name, min(yaws)))


def _with(photos: Sequence[Photo], number: int, warning: str) -> tuple[Photo, ...]:
    """The photos, one of them with a warning more."""
    warned = replace(photos[number], warnings=(*photos[number].warnings, warning))
    return (*photos[:number], warned, *photos[number + 1 :])


def _compared(photos: Sequence[Photo], model: HeadGaussians) -> tuple[Photo, ...]:
    """The photos, those with a warning of which the head takes only a part or next to nothing."""
    shoot, owners = model.shoot, model.owner[model.seen > SEEN]
    owned = bool((model.owner >= 0).any())
    first, found = photos[shoot.leading].name, tuple(photos)
    for i, name in enumerate(photo.name for photo in photos):
        if i == shoot.leading:
            continue
        if not shoot.alike[i]:
            found = _with(found, i, f"{name} shows other light, hair or clothes than {first}; only its face is used.")
        elif owned and float((owners == i).float().mean()) < USEFUL:
            text = f"{name} shows nothing that the others do not; one of another side would help more."
            found = _with(found, i, text)
    return found


def _cut_short(photos: Sequence[Photo], model: HeadGaussians) -> tuple[Photo, ...]:
    """The photos, the leading one with a warning where refinement had time for much less than it would do."""
    rounds, wanted = (int(model.metrics.get(name, 0)) for name in ("rounds", "rounds_wanted"))
    if rounds >= ENOUGH * wanted:
        return tuple(photos)
    said = f"The time for refining ended after {rounds} of {wanted} rounds; give it longer for a sharper head."
    return _with(photos, model.shoot.leading, said)


def add_photos(paths: Sequence[Path], old: Path, name: str, options: Options, progress: Progress) -> Reconstruction:
    """New photos or clips into a head of a system that remembers its photos (``ffavatar``), without the old ones.

    The head keeps its rig and its density. Refinement sees the new photos only.

    Args:
        old: the avatar's file; what was kept of its photos lies beside it.

    Raises:
        AvatarError: that is missing, damaged, made by other weights, or of another head.
        PhotoError: no photo is usable, new and of the same person.
        EngineError: the system cannot add photos, or another head model than the default one.
        Cancelled: the user asked to stop.
    """
    adding = options.equipped.adding
    if adding is None or options.head != DEFAULT:
        able = " or ".join(name for name, spec in systems().items() if spec.adding)
        raise EngineError(f"Only {able} on the default head can add photos.", f"Choose --system {able}.")
    avatar, file = load(old), old.with_suffix(adding.suffix)
    where = chosen_device(options.device, progress)
    progress.start("head model")
    head = load_head(options.head)
    known = adding.load(file, head)
    listed = [(photo.get("name"), photo.get("sha256")) for photo in avatar.provenance["photos"]]
    if not np.array_equal(avatar.vertices, known.neutral) or listed != list(known.photos):
        raise AvatarError(
            f"{file.name} belongs to another head than {old.name}.",
            "Put the right one beside the avatar, or reconstruct the head from all its photos.",
        )
    progress.start("photos")
    chosen = _new(load_photos(paths, progress, frames=options.frames), known)
    progress.start("tracking")
    tracked = known.place(chosen.photos, head)
    progress.start(options.system)

    def add(there: torch.device) -> HeadGaussians:
        return adding.add(known, chosen.photos, tracked, head, progress, there)

    model = furnish(attempt(add, where.torch, options.system, progress), chosen.photos, head)
    progress.start("refinement")
    model, views = _refined(model, chosen.photos, head, where, progress, options.iterations, options.cap)
    progress.start("avatar")
    model = close_lids(model, head)
    tracked = replace(tracked, views=views)
    made = make_avatar(name, head, model, chosen.photos, tracked, replace(options, count=known.count))
    photos = [*avatar.provenance["photos"], *made.provenance["photos"]]
    made = replace(made, views=avatar.views + made.views, provenance={**made.provenance, "photos": photos})
    progress.finish()
    added = _cut_short(chosen.photos, model)
    said = tuple(progress.notes)
    return Reconstruction(made, added, chosen.set_aside, tracked, model, head, dict(progress.seconds), where, said)


def _new(chosen: PhotoSet, known: KnownPerson) -> PhotoSet:
    """The photos that show the known person and are not in the head yet; clips' frames are told apart by name."""
    photos, set_aside = [], list(chosen.set_aside)
    faces = known.embeddings.numpy()
    for photo in chosen.photos:
        similarity = float((faces @ photo.embedding).max())
        if (photo.name, photo.sha256) in known.photos:
            reason = f"{photo.name} is in the head already. Add another photo."
        elif similarity < SAME_PERSON:
            reason = f"{photo.name} shows another person (similarity {similarity:.2f}). Reconstruct it on its own."
        else:
            photos.append(photo)
            continue
        set_aside.append(SetAside(photo.name, reason))
    if not photos:
        raise PhotoError("There is nothing to add.", " ".join(entry.reason for entry in set_aside))
    return PhotoSet(tuple(photos), tuple(set_aside))


def make_avatar(
    name: str, head: ParametricHead, model: HeadGaussians, photos: Sequence[Photo], tracked: Tracked, options: Options
) -> Avatar:
    """Put a head together: mesh, keys, joints, Gaussians, views and where it all came from."""
    return Avatar(
        name=name,
        **person_fields(head, model.rig),
        gaussians=model.gaussians,
        views=tuple(source_view(view) for view in tracked.views),
        eigenbasis=model.eigenbasis,
        provenance={
            "photos": [{"name": photo.name, "sha256": photo.sha256} for photo in photos],
            "head_model": {"name": head.name, "licence": head.licence},
            "options": asdict(options),
            "versions": {"engine": engine.__version__, "torch": torch.__version__, "python": platform.python_version()},
            "metrics": {"landmark_px": {name: round(pixels, 3) for name, pixels, *_ in tracked.residuals}}
            | dict(model.metrics),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
    )


def source_view(view: View) -> SourceView:
    """A tracked view as the avatar file keeps it."""
    return SourceView(
        view.name,
        view.viewmat,
        view.K,
        WINDOW,
        WINDOW,
        np.asarray(view.expression, np.float64),
        np.asarray(view.joint_rotations, np.float64),
    )
