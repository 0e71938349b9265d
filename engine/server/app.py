"""The server's application: its routes, its guard, its life."""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import torch
from fastapi import APIRouter, FastAPI, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.types import ASGIApp

import engine
from engine.exchange.exporting import export_formats
from engine.heads import DEFAULT
from engine.heads.models import built_in
from engine.kernels import threading_layer
from engine.server import errors, head_routes, import_routes, job_routes, live_routes
from engine.server.errors import documented
from engine.server.guard import Guard
from engine.server.services import Parts, Services
from engine.server.uploads import FILE_BYTES, REQUEST_BYTES
from engine.server.weights import WeightsDetails, details
from engine.splatting.backends import backends
from engine.systems import systems

JSON_BYTES = 1_000_000
FORM_BYTES = 1_000_000  # the parts of an upload around its files

router = APIRouter(responses=documented())


class SystemDetails(BaseModel):
    """A system for people: ``network``: it has weights; ``heads``: the head models that it knows, None for all."""

    name: str
    label: str
    description: str
    network: bool
    heads: list[str] | None


class Health(BaseModel):
    """The engine's state: ``device`` is "cpu" or the name of the GPU that draws previews, ``device_reason`` why no GPU
    does, ``queued`` and ``heads`` are counts.

    ``threading_layer`` is what numba's kernels run on, empty before they ran. ``typical_seconds`` has, by system and
    quality, what one photo, each further one and each clip take here, going by the last reconstruction.
    """

    version: str
    python: str
    torch: str
    device: str
    device_reason: str
    backend: str
    threading_layer: str
    systems: list[str]
    system_details: list[SystemDetails]
    head_models: list[str]
    weights: list[WeightsDetails]
    backends: list[str]
    formats: dict[str, str]
    busy: bool
    queued: int
    heads: int
    pid: int
    typical_seconds: dict[str, dict[str, list[float]]]


class Stopping(BaseModel):
    """The engine ends within a second."""

    stopping: bool


@router.get("/health")
def health(parts: Parts) -> Health:
    """Versions, device and load."""
    drawing = parts.drawing.now
    return Health(
        version=engine.__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        device=drawing.name,
        device_reason=drawing.reason,
        backend=drawing.backend,
        threading_layer=threading_layer(),
        systems=list(systems()),
        system_details=[
            SystemDetails(
                name=spec.name,
                label=spec.label,
                description=spec.tooltip,
                network=spec.network is not None,
                heads=None if spec.network is None else [DEFAULT],
            )
            for spec in systems().values()
        ],
        head_models=built_in(),
        weights=details(parts.weights),
        backends=list(backends()),
        formats={name: spec.label for name, spec in export_formats().items()},
        busy=parts.jobs.busy,
        queued=parts.jobs.queued,
        heads=len(parts.heads),
        pid=os.getpid(),
        typical_seconds=parts.jobs.typical_seconds(),
    )


@router.post("/shutdown")
def shutdown(parts: Parts) -> Stopping:
    """End the engine; jobs that run or wait are lost."""
    parts.stop()
    return Stopping(stopping=True)


def create_app(services: Services, token: str) -> ASGIApp:
    """The application; it starts the services when it starts and closes them when it ends.

    Args:
        token: that every request must carry.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        services.start()
        yield
        services.close()

    app = FastAPI(
        title="Gaussian Heads engine",
        version=engine.__version__,
        lifespan=life,
        docs_url=None,  # the documentation pages would load scripts from elsewhere
        redoc_url=None,
        # The guard asks for the token before a body is read; this only writes it into the schema.
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )
    app.state.services = services
    errors.install(app)
    for part in (router, job_routes.router, head_routes.router, import_routes.router, live_routes.router):
        app.include_router(part)
    return Guard(app, token, body_limit)


def body_limit(path: str) -> int:
    """Largest body in bytes that a path takes."""
    if path in ("/jobs", "/import"):
        return REQUEST_BYTES + FORM_BYTES
    if path in ("/photos/check", "/performances", "/voices", "/poses"):
        return FILE_BYTES + FORM_BYTES
    if path.startswith("/heads/") and path.count("/") == 2:
        return FILE_BYTES
    return JSON_BYTES
