"""What the command line tells about its results: tables of figures, contact sheets, stills and turntables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import torch
from PIL import Image

from engine.atomic import atomic_write
from engine.avatar import Avatar, drive
from engine.evaluation.metrics import psnr
from engine.evaluation.sheet import contact_sheet
from engine.gaussians.gaussians import PARTS
from engine.photos.photo import matted
from engine.pipeline import Reconstruction, source_view
from engine.progress import Progress
from engine.rendering import orbit_camera, render, render_avatar, render_view

FRAMES_PER_SECOND = 30
TURNTABLE_REACH = math.radians(60)  # photos of a face say little about what lies further round


def photo_report(made: Reconstruction) -> dict[str, Any]:
    """Residuals, pose and source-view PSNR (over white, inside the photo) per photo, and what was set aside; where it
    was made, and what was done elsewhere."""
    rows = []
    views = map(source_view, made.tracked.views)  # the avatar's own may show earlier photos, too
    for photo, view, figures in zip(made.photos, views, made.tracked.residuals, strict=True):
        valid = torch.from_numpy(photo.valid)
        score = psnr(render_view(made.avatar, view).over(1.0)[valid], matted(photo)[valid])
        names = ("landmark_px", "lips_px", "eyes_px", "focal_px", "yaw", "pitch")
        row = {name: round(value, 3) for name, value in zip(names, figures[1:], strict=True)}
        rows.append({"name": photo.name, **row, "psnr": round(score, 2), "warnings": list(photo.warnings)})
    return {
        "photos": rows,
        "set_aside": [{"name": entry.name, "reason": entry.reason} for entry in made.set_aside],
        "gaussians": len(made.avatar.gaussians),
        "seconds": made.seconds,
        "device": {"name": made.device.name, "reason": made.device.reason},
        "notes": list(made.notes),
    }


def write_photo_sheet(made: Reconstruction, path: Path) -> None:
    """The contact sheet of a finished reconstruction."""
    contact_sheet(made.avatar, {photo.name: matted(photo) for photo in made.photos}, path)


def summary(avatar: Avatar) -> dict[str, Any]:
    """What is in an avatar, as plain JSON."""
    parts = np.bincount(avatar.gaussians.parts.numpy(), minlength=len(PARTS))
    return {
        "name": avatar.name,
        "vertices": len(avatar.vertices),
        "faces": len(avatar.faces),
        "shape keys": len(avatar.key_names),
        "joints": list(avatar.joint_names),
        "gaussians": len(avatar.gaussians),
        **{f"gaussians ({name})": int(n) for name, n in zip(PARTS, parts, strict=True)},
        "photos": [view.name for view in avatar.views],
        "provenance": dict(avatar.provenance),
    }


def _radians(joints: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    return {name: np.radians(values) for name, values in joints.items()}


def write_still(
    avatar: Avatar,
    expression: Mapping[str, float],
    joints: Mapping[str, Sequence[float]],
    *,
    yaw: float,
    pitch: float,
    size: int,
    background: float | None,
    path: Path,
) -> None:
    """Write one PNG.

    Args:
        joints: rotation vector per joint, degrees. yaw, pitch: degrees. size: pixels.
        background: grey value 0..1, or None for transparency (straight alpha).
    """
    camera = orbit_camera(avatar, math.radians(yaw), math.radians(pitch), size, size)
    picture = render(drive(avatar, expression, _radians(joints)), camera)
    if background is None:
        straight = picture.rgb / picture.alpha[..., None].clamp_min(1e-6)
        pixels = torch.cat([straight.clamp(0, 1), picture.alpha[..., None]], dim=-1)
    else:
        pixels = picture.over(background)
    image = Image.fromarray((pixels * 255).round().to(torch.uint8).numpy())
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")


def write_turntable(
    avatar: Avatar,
    expression: Mapping[str, float],
    joints: Mapping[str, Sequence[float]],
    *,
    pitch: float,
    size: int,
    background: float,
    seconds: float,
    path: Path,
    progress: Progress,
) -> None:
    """Write an H.264 MP4 that swings once to the left, to the right and back, ±60°. Arguments as in the still."""
    frames = max(2, round(seconds * FRAMES_PER_SECOND))
    even = size + size % 2  # H.264 halves the colour planes
    turned = _radians(joints)
    with atomic_write(path) as temporary:
        movie = imageio_ffmpeg.write_frames(str(temporary), (even, even), fps=FRAMES_PER_SECOND, quality=8)
        movie.send(None)
        try:
            for frame in range(frames):
                progress.update(frame / frames)
                yaw = TURNTABLE_REACH * math.sin(2 * math.pi * frame / frames)
                camera = orbit_camera(avatar, yaw, math.radians(pitch), even, even)
                image = render_avatar(avatar, expression, turned, camera, background)
                movie.send(np.ascontiguousarray((image * 255).round().to(torch.uint8).numpy()))
        finally:
            movie.close()
