"""Renders the heads of a scene through its camera to picture files, alone or over the scene's own render."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import bpy
import gpu
import numpy as np

from ..errors import AddonError
from ..rig.build import HAS_NATIVE_SPLATS
from ..rig.heads import all_heads
from .blockers import draw_blockers
from .camera import View, scene_view
from .pictures import Writer, render_scene
from .shader import start_in_background
from .splats import Splats, Target

SOLID = 0.5  # alpha from which a pixel has a depth
RESULT = "Gaussian Heads Render"  # the image that shows the last picture


@dataclass(frozen=True)
class RenderOptions:
    """What to render.

    Attributes:
        filepath: as in Blender's output settings.
        frames: numbers of the frames; None renders the present one as a still.
        width, height: pixels; 0 takes the scene's.
        over_scene: lay the splats over the scene's own render, whose surfaces hide what is behind them.
        depth: also write the distance along the view in metres.
    """

    filepath: str
    frames: range | None = None
    width: int = 0
    height: int = 0
    over_scene: bool = False
    depth: bool = False


@dataclass(frozen=True)
class Progress:
    """Frames done, frames in all, and the last picture's file, None before the first."""

    done: int
    total: int
    path: Path | None = None


def render_splats(context: bpy.types.Context, options: RenderOptions) -> Generator[Progress, None, None]:
    """Render one frame after the other; yields after each, and may be closed between two.

    The scene's present frame is restored at the end. The GPU needs a moment in a Blender without window: before 5.2 it
    starts with a render of a few pixels.

    Raises:
        AddonError: no camera, no head, no GPU, a size that the GPU cannot draw, a path that cannot be written.
    """
    scene = context.scene
    _check(context, options)
    before = scene.frame_current, scene.frame_subframe
    frames = [None] if options.frames is None else list(options.frames)
    splats = Splats()
    with Writer(scene, options.filepath) as writer:
        try:
            yield Progress(0, len(frames))
            for done, frame in enumerate(frames, 1):
                if frame is not None:
                    scene.frame_set(frame)
                picture, metres = _frame(context, options, splats)
                path = writer.write(picture, frame)
                if options.depth:
                    writer.write_depth(metres, frame)
                yield Progress(done, len(frames), path)
        finally:
            if options.frames is not None:
                scene.frame_set(before[0], subframe=before[1])


def _check(context: bpy.types.Context, options: RenderOptions) -> None:
    if options.over_scene and HAS_NATIVE_SPLATS:
        raise AddonError("This Blender renders Gaussian heads in the scene by itself.", "Use Render Image (F12).")
    if options.frames is not None and not options.frames:
        raise AddonError("There are no frames to render.", "Choose an end frame after the start frame.")
    try:
        start_in_background()
    except SystemError as error:
        raise AddonError("This computer has no GPU driver that Blender can use.", "Install one.") from error
    view = scene_view(context.scene, context.evaluated_depsgraph_get(), options.width, options.height)
    limit = gpu.capabilities.max_texture_size_get()
    if max(view.size) > limit:
        raise AddonError(
            f"A picture of {view.size[0]} × {view.size[1]} pixels is more than this computer's GPU draws.",
            f"Choose a resolution of at most {limit} pixels a side.",
        )
    _rendered(context)


def _rendered(context: bpy.types.Context) -> list[bpy.types.Object]:
    """The point clouds of the heads that are to be rendered."""
    found = [
        head.splats
        for head in all_heads(context.scene)
        if not head.root.hide_render and head.splats.visible_get(view_layer=context.view_layer)
    ]
    if not found:
        raise AddonError(
            "No Gaussian head is visible.", "Import one, or show its splats with the eye icon in the Outliner."
        )
    return found


def _frame(context: bpy.types.Context, options: RenderOptions, splats: Splats) -> tuple[np.ndarray, np.ndarray]:
    """Premultiplied sRGB [H, W, 4], and metres [H, W], infinite where the splats are not solid; top rows first."""
    own = None
    if options.over_scene:
        size = scene_view(context.scene, context.evaluated_depsgraph_get(), options.width, options.height).size
        own = render_scene(context.scene, size)
    objects = _rendered(context)
    depsgraph = context.evaluated_depsgraph_get()
    view = scene_view(context.scene, depsgraph, options.width, options.height)
    splats.update(objects, depsgraph)
    if splats.problem:
        raise AddonError(splats.problem, "Or delete this head and import it again.")
    picture, metres = _draw(view, splats, objects, depsgraph, blocked=own is not None)
    metres = np.where(picture[..., 3] > SOLID, metres, np.inf)
    return picture if own is None else picture + own * (1.0 - picture[..., 3:]), metres


def _draw(
    view: View,
    splats: Splats,
    objects: list[bpy.types.Object],
    depsgraph: bpy.types.Depsgraph,
    blocked: bool,
) -> tuple[np.ndarray, np.ndarray]:
    target = Target(view.size, precise=True, blockers=draw_blockers(view, depsgraph) if blocked else None)
    matrices = {obj.session_uid: obj.evaluated_get(depsgraph).matrix_world.copy() for obj in objects}
    target.draw(splats, matrices, view.view, view.window)
    return target.read()


def result_image(path: Path) -> bpy.types.Image:
    """The image :data:`RESULT`, which shows a written picture. It is of that file, so that saving asks no questions."""
    image = bpy.data.images.get(RESULT)
    if image is None:
        image = bpy.data.images.load(str(path))
        image.name = RESULT
    else:
        image.filepath = str(path)
        image.reload()
    return image
