"""Renders the heads of a scene through its camera to picture files, alone or over the scene's own render."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import bpy
import gpu
import numpy as np

from ..compat import HAS_NATIVE_SPLATS, start_gpu
from ..errors import AddonError
from ..rig.heads import all_heads
from ..tasks.changes import CHANGES
from .blockers import draw_blockers
from .camera import scene_view
from .exposure import samples, through_lens
from .pictures import Writer, render_scene, to_display, to_linear
from .placed import Place, is_rendered, place_of, placed
from .splats import Splats, Target

SOLID = 0.5  # alpha from which a pixel has a depth
STAGE = ".gaussian_heads_stage"
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
        samples: how often a frame is drawn for motion blur and depth of field, where the scene has them.
    """

    filepath: str
    frames: range | None = None
    width: int = 0
    height: int = 0
    over_scene: bool = False
    depth: bool = False
    samples: int = 16


@dataclass(frozen=True)
class Progress:
    """Frames done, with a part of the next; frames in all; the last picture's file, None before the first; and what is
    to be said of heads that are left out."""

    done: float
    total: int
    path: Path | None = None
    notes: tuple[str, ...] = ()


def render_splats(context: bpy.types.Context, options: RenderOptions) -> Generator[Progress, None, None]:
    """Render one frame after the other; yields after each, and may be closed between two.

    Heads are shown as F12 shows objects: by the camera icons of objects and collections, whatever is hidden in
    viewports. Motion blur, depth of field and the render region are the scene's own. The scene's present frame is
    restored at the end. In a Blender without window, the GPU needs a moment to start.

    Raises:
        AddonError: no camera or one that splats cannot be drawn through, no head, a holdout, no GPU, a size that the
            GPU cannot draw, a path that cannot be written.
    """
    scene = context.scene
    _check(context, options)
    before = scene.frame_current, scene.frame_subframe
    now = scene.frame_current_final
    frames = [None] if options.frames is None else list(options.frames)
    exposure = samples(scene, options.samples)
    splats = Splats()
    with Writer(scene, options.filepath) as writer, _Cast(context) as cast:
        try:
            yield Progress(0, len(frames), notes=tuple(cast.left_out))
            for done, frame in enumerate(frames, 1):
                picture = mean = metres = np.zeros(1, np.float32)
                if frame is not None or len(exposure) > 1:
                    _go_to(scene, now if frame is None else frame)
                own = _own_picture(context, options)
                for number, (later, point) in enumerate(exposure):
                    if len(exposure) > 1:
                        _go_to(scene, (now if frame is None else frame) + later)
                    picture, metres = _frame(context, options, splats, cast, point, own is not None)
                    mean = mean + to_linear(picture) / len(exposure)
                    if number < len(exposure) - 1:
                        yield Progress(done - 1 + (number + 1) / len(exposure), len(frames), notes=tuple(cast.left_out))
                picture = picture if len(exposure) == 1 else to_display(mean)
                if own is not None:
                    picture = picture + own * (1.0 - picture[..., 3:])
                path = writer.write(_in_region(scene, picture), frame)
                if options.depth:
                    if len(exposure) > 1:
                        _go_to(scene, now if frame is None else frame)
                        _, metres = _frame(context, options, splats, cast, (0.0, 0.0), own is not None)
                    writer.write_depth(_in_region(scene, metres, np.inf), frame)
                yield Progress(done, len(frames), path, tuple(cast.left_out))
        finally:
            if options.frames is not None or len(exposure) > 1:
                scene.frame_set(before[0], subframe=before[1])


def _go_to(scene: bpy.types.Scene, frame: float) -> None:
    whole = math.floor(frame)
    scene.frame_set(whole, subframe=frame - whole)


def _check(context: bpy.types.Context, options: RenderOptions) -> None:
    if options.over_scene and HAS_NATIVE_SPLATS:
        raise AddonError("This Blender renders Gaussian heads in the scene by itself.", "Use Render Image (F12).")
    if options.frames is not None and not options.frames:
        raise AddonError("There are no frames to render.", "Choose an end frame after the start frame.")
    try:
        start_gpu()
    except SystemError as error:
        raise AddonError("This computer has no GPU driver that Blender can use.", "Install one.") from error
    view = scene_view(context.scene, context.evaluated_depsgraph_get(), options.width, options.height)
    limit = gpu.capabilities.max_texture_size_get()
    if max(view.size) > limit:
        raise AddonError(
            f"A picture of {view.size[0]} × {view.size[1]} pixels is more than this computer's GPU draws.",
            f"Choose a resolution of at most {limit} pixels a side.",
        )


class _Cast:
    """The heads that are rendered; a context manager, since what viewports hide has to be evaluated somewhere.

    Attributes:
        left_out: sentences about heads that cannot be drawn.
    """

    def __init__(self, context: bpy.types.Context) -> None:
        self._context = context
        self.left_out: list[str] = []
        self._stage: bpy.types.Scene | None = None
        self._disabled: list[bpy.types.Object] = []
        scene, layer = context.scene, context.view_layer
        self._heads = [head for head in all_heads(scene) if head.has_splats and is_rendered(head.root, layer)]
        for head in self._heads:
            if head.root.is_holdout or head.splats.is_holdout:
                raise AddonError(f"{head.name} is a holdout, which splats cannot be.", "Turn Holdout off for it.")
        self._hidden = [head for head in self._heads if not head.splats.visible_get(view_layer=layer)]
        if not self._heads and not CHANGES.has_instances(scene):
            raise AddonError(
                "No Gaussian head is rendered.",
                "Import one, show its splats, or turn on the camera icons of its empty and collection in the Outliner.",
            )

    def __enter__(self) -> _Cast:
        if self._hidden:
            stage = self._stage = bpy.data.scenes.new(STAGE)
            for part in (part for head in self._hidden for part in head.parts):
                stage.collection.objects.link(part)
                if part.hide_viewport:  # for any scene
                    part.hide_viewport = False
                    self._disabled.append(part)
        return self

    def __exit__(self, *_: object) -> None:
        if self._stage is not None:
            bpy.data.scenes.remove(self._stage)
            for part in self._disabled:
                part.hide_viewport = True

    def places(self) -> list[Place]:
        """Where the heads are in the scene's present frame."""
        context = self._context
        layer = context.view_layer
        hidden = {head.splats for head in self._hidden}
        shown = {head.splats for head in self._heads} - hidden

        def shows(obj: bpy.types.Object) -> bool:
            return obj in shown or (obj.instance_type == "COLLECTION" and is_rendered(obj, layer))

        found = placed(context.scene, context.evaluated_depsgraph_get(), shows)
        if self._stage is not None:
            scene = context.scene
            self._stage.frame_set(scene.frame_current, subframe=scene.frame_subframe)
            depsgraph = self._stage.view_layers[0].depsgraph
            found += [place_of(head.splats, depsgraph) for head in self._hidden]
        return found


def _frame(
    context: bpy.types.Context,
    options: RenderOptions,
    splats: Splats,
    cast: _Cast,
    point: tuple[float, float],
    blocked: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Premultiplied sRGB [H, W, 4], and metres [H, W], infinite where the splats are not solid; top rows first."""
    places = cast.places()
    depsgraph = context.evaluated_depsgraph_get()
    view = scene_view(context.scene, depsgraph, options.width, options.height)
    view = through_lens(view, context.scene.camera.evaluated_get(depsgraph), point)
    splats.update(places)
    if splats.problem and splats.problem not in cast.left_out:
        cast.left_out.append(splats.problem)
    if not splats.parts:
        raise AddonError(splats.problem or "No Gaussian head is rendered.", "Or delete this head and import it again.")
    target = Target(view.size, precise=True, blockers=draw_blockers(view, depsgraph) if blocked else None)
    target.draw(splats, places, view.view, view.window)
    picture, metres = target.read()
    return picture, np.where(picture[..., 3] > SOLID, metres, np.inf)


def _own_picture(context: bpy.types.Context, options: RenderOptions) -> np.ndarray | None:
    """What Blender renders of the scene, where the splats are laid over it."""
    if not options.over_scene:
        return None
    view = scene_view(context.scene, context.evaluated_depsgraph_get(), options.width, options.height)
    return render_scene(context.scene, view.size)


def _in_region(scene: bpy.types.Scene, image: np.ndarray, nothing: float = 0.0) -> np.ndarray:
    """What the scene's render region leaves of an image [H, W, ...], top row first; cropped where the scene says so."""
    render = scene.render
    if not render.use_border:
        return image
    height, width = image.shape[:2]
    columns = slice(round(render.border_min_x * width), max(round(render.border_max_x * width), 1))
    rows = slice(height - max(round(render.border_max_y * height), 1), height - round(render.border_min_y * height))
    if render.use_crop_to_border:
        return image[rows, columns]
    kept = np.full_like(image, nothing)
    kept[rows, columns] = image[rows, columns]
    return kept


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
