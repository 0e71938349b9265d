"""A head's contact sheet: all around, lids and gaze, mouth, as an artist would turn it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.atomic import atomic_write
from engine.avatar import Avatar, drive
from engine.evaluation.looks import BLINK, GREY, camera_at, picture
from engine.rendering import render

TILE = 512  # px; heads are drawn at twice that and halved, details at the size at which they are measured
EYES, MOUTH, ZOOM = (512, 224), (512, 400), 2.0  # px of a detail, and how much larger than measured it is drawn
YAWS = (0, 30, -30, 60, -60, 90, -90, 180)


def both(**weights: float) -> dict[str, float]:
    """Weights of keys that come in pairs, by their common name."""
    return {name + side: weight for name, weight in weights.items() for side in ("Left", "Right")}


LIDS: tuple[tuple[str, int, Mapping[str, float]], ...] = (
    ("rest", 0, {}),
    ("blink", 0, BLINK),
    ("blink half", 0, both(eyeBlink=0.5)),
    ("blink 30°", 30, BLINK),
    ("look left", 0, {"eyeLookOutLeft": 1, "eyeLookInRight": 1}),
    ("look up", 0, both(eyeLookUp=1)),
    ("look down", 0, both(eyeLookDown=1)),
    ("wide", 0, both(eyeWide=1)),
)
MOUTHS: tuple[tuple[str, int, Mapping[str, float]], ...] = (
    ("rest", 0, {}),
    ("jaw 0.3", 0, {"jawOpen": 0.3}),
    ("jaw 1", 0, {"jawOpen": 1}),
    ("jaw 1, 30°", 30, {"jawOpen": 1}),
    ("smile", 0, both(mouthSmile=1)),
    ("teeth", 0, both(mouthUpperUp=0.6, mouthLowerDown=0.6) | {"jawOpen": 0.05}),
    ("funnel", 0, {"mouthFunnel": 1}),
    ("tongue", 0, {"jawOpen": 0.5, "tongueOut": 1}),
)


def write_looks(avatar: Avatar, path: str | os.PathLike[str]) -> None:
    """Write the sheet as PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    around = [(f"{yaw}°", _eight_bit(picture(avatar, {}, yaw))) for yaw in YAWS]
    eyes = avatar.vertices[avatar.regions["eyes"]].mean(axis=0)
    lips = avatar.vertices[avatar.regions["lips"]].mean(axis=0) - [0, 0.008, 0]
    rows = [(TILE, [(label, image.resize((TILE, TILE), Image.Resampling.LANCZOS)) for label, image in around])]
    for place, size, details in ((eyes, EYES, LIDS), (lips, MOUTH, MOUTHS)):
        rows.append((size[1], [(label, _detail(avatar, place, size, yaw, keys)) for label, yaw, keys in details]))
    sheet = Image.new("RGB", (TILE * len(YAWS), sum(height for height, _ in rows)))
    draw, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(16), 0
    for height, tiles in rows:
        for column, (label, image) in enumerate(tiles):
            sheet.paste(image, (column * TILE, top))
            draw.text((column * TILE + 6, top + 4), label, "black", font)
        top += height
    with atomic_write(path) as temporary:
        sheet.save(temporary, format="PNG")


def _detail(
    avatar: Avatar, place: np.ndarray, size: tuple[int, int], yaw: int, expression: Mapping[str, float]
) -> Image.Image:
    """[size] px around a place of the head, at the scale of the measured pictures times :data:`ZOOM`."""
    camera = camera_at(avatar, yaw)
    middle = camera.K @ (camera.viewmat[:3, :3] @ place + camera.viewmat[:3, 3])
    K = camera.K.copy()
    K[:2] *= ZOOM
    K[:2, 2] += np.array(size) / 2 - ZOOM * middle[:2] / middle[2]
    seen = render(drive(avatar, expression), replace(camera, K=K, width=size[0], height=size[1]))
    return _eight_bit(seen.over(GREY).numpy())


def _eight_bit(image: np.ndarray) -> Image.Image:
    return Image.fromarray((image * 255).round().astype(np.uint8))
