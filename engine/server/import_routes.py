"""Routes for heads that come in from other programs' files, and for splats that become a head."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Annotated

from fastapi import APIRouter, File, Form, Response, UploadFile
from pydantic import AfterValidator

from engine import avatar
from engine.errors import EngineError
from engine.exchange.binding import bind_to_head
from engine.exchange.importing import COMPANIONS, head_imports, import_head
from engine.exchange.incoming import Imported, Wanted
from engine.formats.avatar_layout import plain_name
from engine.progress import Progress
from engine.server.answers import BINARY, BYTES
from engine.server.errors import documented
from engine.server.head_routes import HeadId
from engine.server.services import Parts
from engine.server.uploads import REQUEST_BYTES, shown_name, store
from engine.server.worker import replace_names

router = APIRouter(
    responses=documented(),
    form_limits={"max_files": 1 + len(COMPANIONS), "max_fields": 8, "max_part_size": 16_384},
)
AVATAR = {200: {"content": BINARY, "description": "the .npz; provenance.notes says what was assumed"}}
_one_at_a_time = threading.Lock()  # each may take gigabytes, and all cores


def _flame(path: str) -> str:
    if path and ("\0" in path or not Path(path).is_absolute()):
        raise ValueError("the absolute path of a FLAME file is expected")
    return path


@router.post("/import", response_class=Response, responses=AVATAR | documented(507))
def import_file(
    parts: Parts,
    files: Annotated[list[UploadFile], File(min_length=1, max_length=1 + len(COMPANIONS))],
    head: Annotated[str, Form(max_length=4096), AfterValidator(_flame)] = "",
) -> Response:
    """A file of another program as an avatar file of its name. The first file is the head, the others lie beside it.

    ``head``: the path of the user's FLAME file, for heads that were made on it.
    """
    with parts.folder.for_request() as folder:
        stored = store(files[0], folder, REQUEST_BYTES)
        suffix = PurePath(stored.shown).suffix.lower()
        known = {ending for spec in head_imports().values() for ending in spec.suffixes}
        path = stored.path.rename(stored.path.with_suffix(suffix if suffix in known else ""))
        for other in files[1:]:
            if (beside := shown_name(other.filename or "")) in COMPANIONS:
                store(other, folder, REQUEST_BYTES).path.replace(folder / beside)
        shown = {path.name: stored.shown}
        wanted = Wanted(plain_name(PurePath(stored.shown).stem), Path(head) if head else None)
        with _one_at_a_time:
            made = _told(lambda: import_head(path, wanted, Progress()), shown)
        return _answer(made, folder, shown)


@router.post("/heads/{head_id}/bind", response_class=Response, responses=AVATAR | documented(404, 507))
def bind(parts: Parts, head_id: HeadId) -> Response:
    """Resident static splats as a head that moves, as an avatar file of the same name."""
    resident = parts.heads.get(head_id)
    with parts.folder.for_request() as folder:
        with _one_at_a_time:
            made = bind_to_head(resident.avatar, resident.avatar.name, Progress())
        return _answer(made, folder, {})


def _told(read: Callable[[], Imported], shown: Mapping[str, str]) -> Imported:
    """What ``read`` gives; its errors say the artist's file names."""
    try:
        return read()
    except EngineError as error:
        error.message = replace_names(error.message, shown)
        error.hint = replace_names(error.hint, shown)
        raise


def _answer(made: Imported, folder: Path, shown: Mapping[str, str]) -> Response:
    provenance = dict(made.avatar.provenance)
    if (source := provenance.get("source")) is not None:
        provenance["source"] = {**source, "name": replace_names(source["name"], shown)}
        provenance["notes"] = [replace_names(note, shown) for note in made.notes]
    avatar.save(replace(made.avatar, provenance=provenance), folder / "made.npz")
    return Response((folder / "made.npz").read_bytes(), media_type=BYTES)
