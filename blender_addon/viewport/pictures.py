"""Writes rendered splats as Blender writes renders: the scene's own file format, names and numbering."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np

from ..compat import VIDEO_FORMATS, kept_file_format, set_file_format
from ..errors import AddonError
from ..files import atomic_write
from ..paths import name_of, resolve

SCRATCH = ".gaussian_heads_render"
NAME = "splats"  # of pictures where only a folder is given
FAR = 1e10  # metres where nothing is, as in Blender's own depth pass


class Writer:
    """Writes pictures with a scene's output settings; a context manager, since it borrows a copy of the scene."""

    def __init__(self, scene: bpy.types.Scene, filepath: str) -> None:
        """
        Args:
            filepath: as in Blender's output settings: // is the .blend's folder, # a digit of the frame's number.

        Raises:
            AddonError: the scene's output is a video, or has no place.
        """
        if scene.render.image_settings.file_format in VIDEO_FORMATS:
            raise AddonError(
                "The scene's output is a video, and Render Splats writes pictures.",
                "Choose PNG or OpenEXR as the file format in the Output properties.",
            )
        if filepath.startswith("//") and not bpy.data.filepath:
            raise AddonError(
                f"The output path {filepath} is relative to a .blend file that is not saved yet.",
                "Save the file, or choose another output path.",
            )
        self._filepath = filepath if name_of(filepath) else filepath + NAME
        self._colors = scene.copy()
        self._depths = scene.copy()
        self._colors.name = self._depths.name = SCRATCH
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        for scene in (self._colors, self._depths):
            scene.render.filepath = self._filepath
            scene.render.dither_intensity = 0.0
            scene.render.use_multiview = False
            scene.render.image_settings.color_management = "FOLLOW_SCENE"
            view = scene.view_settings
            try:
                scene.display_settings.display_device = "sRGB"
                view.view_transform = "Standard"  # the colours are display-referred already
                view.look = "None"
            except TypeError as error:
                raise AddonError(
                    "This Blender's colour configuration has no plain sRGB view.",
                    "Render with Blender's own colour configuration.",
                ) from error
            view.exposure, view.gamma, view.use_curve_mapping = 0.0, 1.0, False
        settings = self._colors.render.image_settings
        if settings.file_format == "OPEN_EXR_MULTILAYER":
            set_file_format(settings, "OPEN_EXR", settings.color_mode, "32")
        set_file_format(self._depths.render.image_settings, "OPEN_EXR", "BW", "32")
        self._depths.render.filepath = depth_path(self._filepath)

    def path(self, frame: int | None, depth: bool = False) -> Path:
        """Where a frame goes; None for a still, whose path gets no number."""
        scene = self._depths if depth else self._colors
        if frame is not None:
            return resolve(scene.render.frame_path(frame=frame))
        path = scene.render.filepath
        if scene.render.use_file_extension:  # another picture's ending gives way, as where Blender saves
            stem, ending = os.path.splitext(path)
            path = (stem if ending.lower() in bpy.path.extensions_image else path) + scene.render.file_extension
        return resolve(path)

    def write(self, picture: np.ndarray, frame: int | None) -> Path:
        """Write premultiplied sRGB [H, W, 4], top row first; a picture that is complete, or none.

        Raises:
            AddonError: the file cannot be written.
        """
        return self._save(to_linear(picture), self.path(frame), self._colors)

    def write_depth(self, metres: np.ndarray, frame: int | None) -> Path:
        """Write metres [H, W] as 32-bit OpenEXR of one channel."""
        values = np.minimum(metres, FAR)
        ones = np.ones_like(values)
        return self._save(np.dstack([values, values, values, ones]), self.path(frame, depth=True), self._depths)

    def _save(self, pixels: np.ndarray, path: Path, scene: bpy.types.Scene) -> Path:
        height, width = pixels.shape[:2]
        image = bpy.data.images.new(SCRATCH, width, height, alpha=True, float_buffer=True)
        try:
            image.pixels.foreach_set(np.ascontiguousarray(pixels[::-1], np.float32).reshape(-1))
            with atomic_write(path) as temporary:
                image.save_render(str(temporary), scene=scene)
        except RuntimeError as error:
            raise AddonError(
                f"{path} cannot be written ({error}).", "Check the output path and the space on the disk."
            ) from error
        finally:
            bpy.data.images.remove(image)
        return path

    def close(self) -> None:
        for scene in (self._colors, self._depths):
            bpy.data.scenes.remove(scene)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def to_linear(picture: np.ndarray) -> np.ndarray:
    """Premultiplied linear light of a premultiplied sRGB picture [H, W, 4]."""
    straight, alpha = _straight(picture)
    linear = np.where(straight <= 0.04045, straight / 12.92, ((straight + 0.055) / 1.055) ** 2.4)
    return np.dstack([linear * alpha, alpha])


def to_display(picture: np.ndarray) -> np.ndarray:
    """The way back."""
    straight, alpha = _straight(picture)
    shown = np.where(straight <= 0.0031308, straight * 12.92, 1.055 * straight ** (1 / 2.4) - 0.055)
    return np.dstack([shown * alpha, alpha])


def _straight(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    colors, alpha = picture[..., :3], picture[..., 3:]
    return np.clip(np.divide(colors, alpha, out=np.zeros_like(colors), where=alpha > 0), 0, 1), alpha


def depth_path(filepath: str) -> str:
    """The path of the depths beside a picture's: ``depth`` before the frame's number or the extension."""
    name = name_of(filepath)
    stem, extension = os.path.splitext(name)
    stem = stem if extension.lower() in bpy.path.extensions_image else name
    place = stem.find("#") if "#" in stem else len(stem)
    before = stem[:place].rstrip("_.-")
    after = "_" + stem[place:] if stem[place:] else ""
    return filepath.removesuffix(name) + (f"{before}_depth" if before else "depth") + after


@contextmanager
def _as_png(scene: bpy.types.Scene) -> Iterator[None]:
    """A scene whose renders are saved as 16-bit PNG with alpha, as long as it lasts."""
    settings = scene.render.image_settings
    with kept_file_format(settings):
        set_file_format(settings, "PNG", "RGBA", "16")
        settings.color_management = "FOLLOW_SCENE"
        yield


def render_scene(scene: bpy.types.Scene, size: tuple[int, int]) -> np.ndarray:
    """The scene's own render of its present frame, through its view transform.

    Returns:
        Premultiplied, as displayed, [H, W, 4] float32, top row first.

    Raises:
        AddonError: Blender cannot render it, or not in the wanted size.
    """
    render = scene.render
    names = ("resolution_x", "resolution_y", "resolution_percentage", "use_crop_to_border")
    before = {name: getattr(render, name) for name in names}
    try:
        render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
        render.use_crop_to_border = False  # the whole picture is cropped in the end
        bpy.ops.render.render(scene=scene.name)
    except RuntimeError as error:
        raise AddonError(f"Blender could not render the scene ({error}).", "Press F12 to see why.") from error
    finally:
        for name, value in before.items():
            setattr(render, name, value)
    with tempfile.TemporaryDirectory(prefix="gaussian_heads_", ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "scene.png")
        with _as_png(scene):
            bpy.data.images["Render Result"].save_render(path, scene=scene)
        return _load(path, size)


def _load(path: str, size: tuple[int, int]) -> np.ndarray:
    image = bpy.data.images.load(path)
    try:
        image.colorspace_settings.is_data = True
        image.alpha_mode = "CHANNEL_PACKED"  # straight, as it is in the file
        if tuple(image.size) != size:
            raise AddonError(
                f"The scene's render has {image.size[0]} × {image.size[1]} pixels instead of {size[0]} × {size[1]}.",
                "Look for a compositor or script that changes its size.",
            )
        pixels = np.empty((size[1], size[0], 4), np.float32)
        image.pixels.foreach_get(pixels.reshape(-1))
    finally:
        bpy.data.images.remove(image)
    pixels[..., :3] *= pixels[..., 3:]
    return pixels[::-1]
