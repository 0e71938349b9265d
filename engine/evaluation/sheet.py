"""Pictures for the eye: the contact sheet of an avatar and the strip of an evaluation."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from engine.atomic import atomic_write
from engine.avatar import Avatar
from engine.evaluation.reenactment import Comparison
from engine.photos.photo import INNER
from engine.rendering import crop_view, orbit_camera, render_avatar, render_view

TILE = 256  # px, side of one picture on a sheet
LABEL = 22  # px, height of the line below it
MOST_VIEWS = 4  # photos on a contact sheet; one row holds each beside its render
YAWS = (-60, -45, -30, -15, 0, 15, 30, 45, 60)  # degrees
EXPRESSIONS: Mapping[str, tuple[str, ...]] = {
    "jaw open": ("jawOpen",),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "pucker": ("mouthPucker",),
    "brows up": ("browInnerUp",),
    "tongue out": ("jawOpen", "tongueOut"),
}


@dataclass(frozen=True)
class Tile:
    """One picture, [H, W, 3] float32 sRGB 0..1, and the words below it."""

    image: torch.Tensor
    label: str


def contact_sheet(avatar: Avatar, photos: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Write a PNG on white: photos beside the same view of the avatar, a sweep of yaw angles, six expressions.

    Args:
        photos: name of a view of the avatar -> that photo's window over white, [WINDOW, WINDOW, 3] sRGB 0..1; the inner
            crops of the first few are shown.

    Raises:
        OutputError: the file cannot be written.
    """
    likeness = []
    for view in [view for view in avatar.views if view.name in photos][:MOST_VIEWS]:
        likeness.append(Tile(photos[view.name][INNER, INNER], view.name))
        likeness.append(Tile(render_view(avatar, crop_view(view)).over(1.0), "avatar"))
    sweep = [
        Tile(render_avatar(avatar, {}, {}, orbit_camera(avatar, math.radians(yaw), width=TILE, height=TILE)), f"{yaw}°")
        for yaw in YAWS
    ]
    front = orbit_camera(avatar, 0.0, width=TILE, height=TILE)
    faces = [
        Tile(render_avatar(avatar, dict.fromkeys(keys, 1.0), {}, front), label) for label, keys in EXPRESSIONS.items()
    ]
    write_sheet([likeness, sweep, faces], path)


def comparison_strip(comparisons: Sequence[Comparison], path: str | os.PathLike[str]) -> None:
    """Write a PNG with one row per target frame: the photo, the tracked drive, the landmark drive.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = [
        [Tile(c.target, c.name), Tile(c.tracked, "tracked drive"), Tile(c.landmark, "landmark drive")]
        for c in comparisons
    ]
    write_sheet(rows, path)


def write_sheet(rows: Sequence[Sequence[Tile]], path: str | os.PathLike[str]) -> None:
    """Write rows of tiles as one PNG on white.

    Raises:
        OutputError: the file cannot be written.
    """
    sheet = Image.new("RGB", (TILE * max(len(row) for row in rows), (TILE + LABEL) * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            left, top = x * TILE, y * (TILE + LABEL)
            sheet.paste(_picture(tile.image), (left, top))
            label = tile.label
            while draw.textlength(label, font) > TILE - 8:
                label = f"…{label[2:]}"  # a name's end tells frames apart
            draw.text((left + TILE / 2, top + TILE + LABEL / 2), label, "black", font, anchor="mm")
    with atomic_write(path) as temporary:
        sheet.save(temporary, format="PNG")


def _picture(image: torch.Tensor) -> Image.Image:
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    return picture
