"""Routes for photos and reconstructions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, File, Form, Response, UploadFile
from pydantic import AfterValidator, BaseModel

from engine.formats.avatar_layout import is_name
from engine.heads import DEFAULT
from engine.heads.models import built_in
from engine.models.spec import CORRESPONDENCES
from engine.photos.load import MAX_PHOTOS
from engine.pipeline import Options
from engine.server.answers import BINARY, BYTES
from engine.server.errors import documented
from engine.server.jobs import AVATAR, TAKE, JobStatus
from engine.server.services import Parts
from engine.server.uploads import MAX_FILES, Stored, store
from engine.server.weights import chosen
from engine.server.worker import Acting, Posing, Speaking, replace_names
from engine.voice import MOST_TEXT

router = APIRouter(
    responses=documented(),
    form_limits={"max_files": MAX_FILES + 1, "max_fields": 32, "max_part_size": 4 * MOST_TEXT},
)


class PhotoVerdict(BaseModel):
    """A quick look at one photo or clip; angles in degrees, null without a face."""

    name: str
    usable: bool
    message: str
    warnings: list[str]
    yaw: float | None
    pitch: float | None
    faces: int


class JobCreated(BaseModel):
    """The id under which the job is followed."""

    id: str


def _avatar_name(name: str) -> str:
    if not is_name(name):
        raise ValueError("a name has 1 to 63 bytes of printable text without slashes")
    return name


def _head_model(source: str) -> str:
    if "\0" in source or not (source in built_in() or Path(source).is_absolute()):
        raise ValueError(f"{' or '.join(built_in())}, or the absolute path of a head model's file, is expected")
    return source


@router.post("/photos/check", responses=documented(507))
def check(parts: Parts, photo: Annotated[UploadFile, File()]) -> PhotoVerdict:
    """Say whether a photo or clip can be used, and what will limit the result."""
    with parts.folder.for_request() as folder:
        stored = store(photo, folder)
        verdict = parts.checks.check(stored.path, stored.shown)
    shown = {stored.path.name: stored.shown}
    return PhotoVerdict(
        name=stored.shown,
        usable=verdict.usable,
        message=replace_names(verdict.message, shown),
        warnings=[replace_names(warning, shown) for warning in verdict.warnings],
        yaw=verdict.yaw,
        pitch=verdict.pitch,
        faces=verdict.faces,
    )


@router.post("/jobs", status_code=202, responses=documented(429, 507))
def create_job(
    parts: Parts,
    photos: Annotated[list[UploadFile], File(min_length=1, max_length=MAX_FILES)],
    name: Annotated[str, Form(max_length=63), AfterValidator(_avatar_name)] = "Head",
    system: Annotated[str, Form(max_length=63)] = "surface",
    head: Annotated[str, Form(max_length=4096), AfterValidator(_head_model)] = DEFAULT,
    quality: Annotated[str, Form(max_length=63)] = "normal",
    refine_seconds: Annotated[float | None, Form(ge=0, le=3600)] = None,
    count: Annotated[int | None, Form(ge=1_000, le=2_000_000)] = None,
    frames: Annotated[int, Form(ge=1, le=MAX_PHOTOS)] = 4,
    weights: Annotated[str, Form(max_length=255)] = "",
    correspondence: Annotated[str, Form(max_length=63)] = CORRESPONDENCES[0],
) -> JobCreated:
    """Queue the reconstruction of one person from photos and clips. ``weights``: a name of those in ``/health``."""
    file = chosen(parts.weights, weights)
    options = Options(system, head, quality, refine_seconds, count, frames, parts.drawing.wanted, file, correspondence)

    def fill(folder: Path) -> list[Stored]:
        return [store(photo, folder) for photo in photos]

    return JobCreated(id=parts.jobs.submit(name, options, fill))


@router.post("/performances", status_code=202, responses=documented(429, 507))
def create_performance(
    parts: Parts,
    clip: Annotated[UploadFile, File()],
    smoothing: Annotated[float, Form(ge=0, le=1)] = 0.5,
    neutral: Annotated[bool, Form()] = True,
) -> JobCreated:
    """Queue the reading of an actor's performance off a clip."""
    return JobCreated(id=parts.jobs.submit("Take", Acting(smoothing, neutral), lambda folder: [store(clip, folder)]))


@router.post("/voices", status_code=202, responses=documented(429, 507))
def create_speech(
    parts: Parts,
    voice: Annotated[UploadFile, File()],
    text: Annotated[str, Form(max_length=MOST_TEXT)] = "",
    seed: Annotated[int, Form(ge=0, lt=2**31)] = 0,
    liveliness: Annotated[float, Form(ge=0, le=1)] = 0.5,
) -> JobCreated:
    """Queue a take that speaks as a voice does; the text, in English, is what it says."""
    options = Speaking(text, seed, liveliness)
    return JobCreated(id=parts.jobs.submit("Take", options, lambda folder: [store(voice, folder)]))


@router.post("/poses", status_code=202, responses=documented(429, 507))
def create_pose(parts: Parts, photo: Annotated[UploadFile, File()]) -> JobCreated:
    """Queue a take of one sample: what the largest face in a photo does."""
    return JobCreated(id=parts.jobs.submit("Take", Posing(), lambda folder: [store(photo, folder)]))


@router.get("/jobs/{job_id}", responses=documented(404))
def job(parts: Parts, job_id: str) -> JobStatus:
    """Where a job stands."""
    return parts.jobs.status(job_id)


@router.delete("/jobs/{job_id}", responses=documented(404))
def cancel(parts: Parts, job_id: str) -> JobStatus:
    """Cancel a job that waits or runs (it stops within a second), or forget a finished one."""
    return parts.jobs.cancel(job_id)


@router.get(
    "/jobs/{job_id}/avatar",
    response_class=Response,
    responses={200: {"content": BINARY, "description": "the .npz"}, **documented(404, 409)},
)
def avatar(parts: Parts, job_id: str) -> Response:
    """The finished avatar file (docs/avatar-format.md)."""
    return Response(parts.jobs.result(job_id, AVATAR), media_type=BYTES)


@router.get(
    "/jobs/{job_id}/take",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "the CSV"}, **documented(404, 409)},
)
def take(parts: Parts, job_id: str) -> Response:
    """The finished take (docs/animation.md)."""
    return Response(parts.jobs.result(job_id, TAKE), media_type="text/csv")
