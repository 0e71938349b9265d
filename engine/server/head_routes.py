"""Routes for resident heads: their pictures and their exports."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from fastapi import APIRouter, Path as InPath, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from starlette.concurrency import run_in_threadpool

from engine import avatar
from engine.avatar import Avatar, Pose
from engine.baking.bake import SIZE, bake as bake_meshes
from engine.baking.file import write_baked
from engine.exchange.exporting import export as export_head, export_formats
from engine.exchange.linear import for_linear_light
from engine.progress import Progress
from engine.rendering import Camera
from engine.server.answers import BINARY, BYTES
from engine.server.errors import Refusal, documented
from engine.server.heads import Shot
from engine.server.services import Parts

router = APIRouter(prefix="/heads/{head_id}", responses=documented())
MAX_SIDE = 4096  # px
MAX_NAMES = 1024  # of keys or joints in one request
RIGID = 1e-3  # how far a rotation may be from orthonormal
SEQUENCES = 2**53  # what every JSON reader counts exactly

HeadId = Annotated[str, InPath(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="chosen by the client")]
Number = Annotated[float, Field(ge=-1e6, le=1e6)]
Name = Annotated[str, Field(min_length=1, max_length=63)]
Weight = Annotated[float, Field(ge=-10, le=10)]
Angle = Annotated[float, Field(ge=-100, le=100)]
Row3 = Annotated[list[Number], Field(min_length=3, max_length=3)]
Row4 = Annotated[list[Number], Field(min_length=4, max_length=4)]


class PoseRequest(BaseModel):
    """How the head is driven: weights by shape key; axis-angle in radians by joint. What is not named rests."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    expression: Annotated[dict[Name, Weight], Field(max_length=MAX_NAMES)] = {}
    joint_rotations: Annotated[
        dict[Name, Annotated[list[Angle], Field(min_length=3, max_length=3)]], Field(max_length=MAX_NAMES)
    ] = {}

    def pose(self) -> Pose:
        return Pose(self.expression, {name: (x, y, z) for name, (x, y, z) in self.joint_rotations.items()})


class PreviewRequest(PoseRequest):
    """A picture of the head.

    ``viewmat``: world (engine axes) to camera (OpenCV), rigid. ``K``: intrinsics in pixels, centres at +0.5. ``ortho``:
    K's focal lengths are pixels per metre; not drawn yet. ``sequence``: rises with every request for a head.
    """

    viewmat: Annotated[list[Row4], Field(min_length=4, max_length=4)]
    K: Annotated[list[Row3], Field(min_length=3, max_length=3)]
    ortho: bool = False
    width: int = Field(ge=1, le=MAX_SIDE)
    height: int = Field(ge=1, le=MAX_SIDE)
    sequence: int = Field(ge=0, le=SEQUENCES)

    @model_validator(mode="after")
    def _is_camera(self) -> PreviewRequest:
        view, K = np.array(self.viewmat), np.array(self.K)
        turn = view[:3, :3]
        if np.abs(turn @ turn.T - np.eye(3)).max() > RIGID or np.linalg.det(turn) < 0 or any(view[3] != (0, 0, 0, 1)):
            raise ValueError("viewmat is no rigid map from world to camera")
        if K[0, 0] <= 0 or K[1, 1] <= 0 or any(K[2] != (0, 0, 1)):
            raise ValueError("K is no matrix of camera intrinsics")
        return self


class ExportRequest(PoseRequest):
    """The head as a file for other programs (docs/avatar-format.md). ``format``: one of /health's."""

    format: Annotated[str, Field(json_schema_extra={"enum": list(export_formats())})]

    @field_validator("format")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in export_formats():
            raise ValueError(f"{', '.join(export_formats())} is expected")
        return name


class BakeRequest(BaseModel):
    """The head as textured meshes. ``size``: texels a side of each picture."""

    model_config = ConfigDict(extra="forbid", strict=True)

    size: int = Field(default=SIZE, ge=256, le=4096)


class HeadSummary(BaseModel):
    """What is resident now."""

    id: str
    name: str
    gaussians: int
    keys: list[str]
    joints: list[str]


@router.put(
    "",
    responses=documented(507),
    openapi_extra={"requestBody": {"required": True, "content": BINARY}},
)
async def put(parts: Parts, head_id: HeadId, request: Request) -> HeadSummary:
    """Load an avatar file; it stays with the last few used, for previews and exports."""
    folder = parts.folder.new()
    try:
        path = folder / "avatar.npz"
        with path.open("xb") as file:
            async for chunk in request.stream():
                file.write(chunk)
        loaded = await run_in_threadpool(_load, parts, head_id, path)
    finally:
        await run_in_threadpool(shutil.rmtree, folder, True)
    keys, joints = list(loaded.key_names), list(loaded.joint_names)
    return HeadSummary(id=head_id, name=loaded.name, gaussians=len(loaded.gaussians), keys=keys, joints=joints)


@router.delete("", status_code=204, responses=documented(404))
def remove(parts: Parts, head_id: HeadId) -> None:
    """Forget a head."""
    parts.heads.remove(head_id)


@router.post(
    "/preview",
    response_class=Response,
    responses={
        200: {
            "content": BINARY,
            "description": "uint8 [height, width, 4], sRGB premultiplied by alpha, rows from the top",
            "headers": {
                "X-Sequence": {"description": "the request's", "schema": {"type": "integer"}},
                "X-Milliseconds": {"description": "spent on drawing", "schema": {"type": "number"}},
            },
        },
        **documented(404, 409),
    },
)
async def preview(parts: Parts, head_id: HeadId, wanted: PreviewRequest) -> Response:
    """A picture of the head. A newer request for the same head makes those that still wait answer 409."""
    if wanted.ortho:
        raise Refusal("The preview needs a perspective view.", "Leave the orthographic view, or use the splat shader.")
    camera = Camera(np.array(wanted.viewmat), np.array(wanted.K), wanted.width, wanted.height)
    shot = Shot(parts.heads.get(head_id), wanted.pose(), camera, wanted.sequence)
    frame = await asyncio.wrap_future(parts.previewer.request(head_id, shot))
    headers = {"X-Sequence": str(wanted.sequence), "X-Milliseconds": f"{frame.milliseconds:.2f}"}
    return Response(frame.pixels, media_type=BYTES, headers=headers)


@router.post(
    "/export",
    response_class=Response,
    responses={200: {"content": BINARY, "description": "the file"}, **documented(404, 507)},
)
def export(parts: Parts, head_id: HeadId, wanted: ExportRequest) -> Response:
    """The head in one pose as a file for other programs."""
    resident = parts.heads.get(head_id).avatar
    return _written(parts, f"head.{wanted.format}", lambda path: export_head(resident, wanted.pose(), path))


@router.post(
    "/bake",
    response_class=Response,
    responses={200: {"content": BINARY, "description": "a zip archive"}, **documented(404, 507)},
)
def bake(parts: Parts, head_id: HeadId, wanted: BakeRequest) -> Response:
    """``head.png``, the picture for its mesh; ``hair.png`` and ``hair.npz``, cards, where it has hair."""
    resident = parts.heads.get(head_id).avatar
    return _written(parts, "head.zip", lambda path: write_baked(bake_meshes(resident, wanted.size), path))


@router.post(
    "/linear",
    response_class=Response,
    responses={
        200: {"content": BINARY, "description": "float32 [Gaussians, 4]: sRGB and opacity, 0..1"},
        **documented(404),
    },
)
def linear(parts: Parts, head_id: HeadId) -> Response:
    """Looks of the head's Gaussians for programs that blend them in linear light."""
    fitted = for_linear_light(parts.heads.get(head_id).avatar, None, Progress()).gaussians
    looks = torch.cat((fitted.colors, fitted.opacities[:, None]), dim=1)
    return Response(looks.cpu().numpy().astype("<f4").tobytes(), media_type=BYTES)


def _written(parts: Parts, name: str, write: Callable[[Path], None]) -> Response:
    """The bytes of a file that is written to a folder of its own, and gone after."""
    with parts.folder.for_request() as folder:
        write(folder / name)
        return Response((folder / name).read_bytes(), media_type=BYTES)


def _load(parts: Parts, head_id: str, path: Path) -> Avatar:
    loaded = avatar.load(path)
    parts.heads.put(head_id, loaded)
    return loaded
