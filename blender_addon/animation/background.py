"""An actor's clip as the background of the scene's camera, in step with the take that was read off it.

Blender shows one frame of a movie for each frame of the scene, whatever rates the two have. So a movie of another rate
gets a driver on the offset of its frames. It is one of Blender's simple expressions, which run in every file.
"""

from __future__ import annotations

import math
from pathlib import Path

import bpy

from .performance import scene_rate

SAME_RATE = 1e-4  # of the rates' ratio: a frame in more than five minutes at 30 per second
MOST_FRAMES = 1_048_574  # that Blender takes


def show_clip(scene: bpy.types.Scene, clip: Path, start: float) -> str:
    """Put a clip behind what the scene's camera sees, its first frame at ``start``. Once for each clip.

    Returns:
        A sentence on why it is not there, or not all is as it should be; empty where it is.
    """
    camera = scene.camera
    if camera is None or camera.type != "CAMERA":
        return "The scene has no camera to show the clip behind."
    if not camera.data.is_editable:
        return f"The camera “{camera.name}” is linked from another file and cannot show the clip."
    try:
        rate, length = _rate_and_length(clip)
        image = bpy.data.images.load(str(clip), check_existing=True)
    except RuntimeError:  # what Blender says of what it cannot read
        return f"Blender cannot show {clip.name}."
    image.source = "MOVIE"
    views = camera.data.background_images
    view = next((view for view in views if view.source == "IMAGE" and view.image == image), None) or views.new()
    view.source, view.image, view.frame_method = "IMAGE", image, "FIT"
    camera.data.show_background_images = True
    user, first, ratio = view.image_user, round(start), rate / scene_rate(scene)
    user.frame_start, user.frame_offset = first, 0
    user.frame_duration = min(math.ceil(length / ratio), MOST_FRAMES)  # in frames of the scene
    path = f"background_images[{list(views).index(view)}].image_user.frame_offset"
    camera.data.driver_remove(path)
    if abs(ratio - 1.0) > SAME_RATE or abs(start - first) > SAME_RATE:
        # Picture k is seen from (k - 1) / rate on; half a thousandth of a frame makes up for rounding.
        now = f"clamp(frame, {first}, {first + user.frame_duration - 1})"
        driver = camera.data.driver_add(path).driver
        driver.type = "SCRIPTED"
        driver.expression = f"min(floor(({now} - {start:g}) * {ratio:.9g} + 0.0005), {length - 1}) - {now} + {first}"
    return ""


def _rate_and_length(clip: Path) -> tuple[float, int]:
    """Frames per second and frames of a movie; raises RuntimeError where Blender cannot read it."""
    before = set(bpy.data.movieclips)
    movie = bpy.data.movieclips.load(str(clip))
    rate, length = movie.fps, movie.frame_duration
    if movie not in before:
        bpy.data.movieclips.remove(movie)
    if not (rate > 0 and length > 1):
        raise RuntimeError(f"{clip} shows nothing that moves")
    return rate, length
