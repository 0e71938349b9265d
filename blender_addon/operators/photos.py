"""The photos panel's buttons: fill, order and empty the list of photos."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, StringProperty

from ..paths import resolve
from ..tasks import photo_checks, watch
from ..tasks.photo_files import CLIP_ENDINGS, ENDINGS, PHOTO_ENDINGS

_GLOBS = {"PHOTOS": PHOTO_ENDINGS, "CLIPS": CLIP_ENDINGS, "ALL": ENDINGS}


def add_paths(settings: bpy.types.PropertyGroup, paths: Iterable[str | Path]) -> tuple[int, list[str]]:
    """Adds files to the list.

    Args:
        settings: ``scene.gaussian_heads.photos``.

    Returns:
        How many were added, and a sentence for each that was not.
    """
    known = {item.path for item in settings.items}
    added, refused = 0, []
    for path in paths:
        path = resolve(path).absolute()
        if path.suffix.lower() not in ENDINGS:
            refused.append(f"{path.name} is no photo or clip of a known kind.")
        elif not path.is_file():
            refused.append(f"{path} is not there.")
        elif str(path) in known:
            refused.append(f"{path.name} is in the list already.")
        else:
            item = settings.items.add()
            item.name, item.path = path.name, str(path)
            known.add(str(path))
            added += 1
    if added:
        settings.active = len(settings.items) - 1
    return added, refused


def _check_soon(wants_engine: bool) -> None:
    """Has the new photos looked at; an artist's own click also starts the engine, which is needed next anyway."""
    if wants_engine and not bpy.app.background:
        watch.start_engine()
    photo_checks.request()


class _AddFiles:
    """What adding files and adding a folder share."""

    def _add(self: bpy.types.Operator, context: bpy.types.Context, paths: Iterable[str | Path]) -> set[str]:
        added, refused = add_paths(context.scene.gaussian_heads.photos, paths)
        for sentence in refused:
            self.report({"WARNING"}, sentence)
        if not added:
            self.report({"ERROR"}, f"No photo was added. Choose files that end in {', '.join(ENDINGS)}.")
            return {"CANCELLED"}
        _check_soon(wants_engine=True)
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_add_photos(_AddFiles, bpy.types.Operator):
    bl_idname = "gaussian_heads.add_photos"
    bl_label = "Add Photos"
    bl_description = "Add portrait photos or clips of one person to the list"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(name="File", description="One photo or clip", subtype="FILE_PATH", options={"SKIP_SAVE"})
    directory: StringProperty(
        name="Folder", description="The folder that the files are in", subtype="DIR_PATH", options={"SKIP_SAVE"}
    )
    files: CollectionProperty(
        name="Files",
        description="File names within the folder",
        type=bpy.types.OperatorFileListElement,
        options={"SKIP_SAVE"},
    )
    kind: EnumProperty(
        name="Kind",
        description="Which files the file browser shows",
        items=(
            ("ALL", "Photos and Clips", "Photos and clips"),
            ("PHOTOS", "Photos", "Photos only"),
            ("CLIPS", "Clips", "Clips only"),
        ),
        default="ALL",
        options={"SKIP_SAVE", "HIDDEN"},
    )
    # Blender's file browser knows these by name: it shows the pictures, not only their names.
    filter_image: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_movie: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    display_type: EnumProperty(
        items=(
            ("DEFAULT", "Default", ""),
            ("LIST_VERTICAL", "Vertical List", ""),
            ("LIST_HORIZONTAL", "Horizontal List", ""),
            ("THUMBNAIL", "Thumbnails", ""),
        ),
        default="THUMBNAIL",
        options={"HIDDEN", "SKIP_SAVE"},
    )
    filter_glob: StringProperty(
        name="Filter", description="Endings of the files that the file browser shows", options={"SKIP_SAVE", "HIDDEN"}
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.files and self.directory:  # dropped
            return self.execute(context)
        self.filter_glob = ";".join(f"*{ending}" for ending in _GLOBS[self.kind])
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        folder = resolve(self.directory)
        paths = [folder / file.name for file in self.files if file.name]
        return self._add(context, paths or [self.filepath] * bool(self.filepath))


class GAUSSIAN_HEADS_OT_add_folder(_AddFiles, bpy.types.Operator):
    bl_idname = "gaussian_heads.add_folder"
    bl_label = "Add Folder"
    bl_description = "Add every photo and clip of a folder, sorted by name"
    bl_options = {"REGISTER", "UNDO"}

    directory: StringProperty(
        name="Folder", description="The folder with the photos", subtype="DIR_PATH", options={"SKIP_SAVE"}
    )
    filter_folder: BoolProperty(
        name="Folders", description="Show folders in the file browser", default=True, options={"HIDDEN"}
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        folder = resolve(self.directory)
        if not self.directory or not folder.is_dir():
            self.report({"ERROR"}, f"The folder {folder} is not there. Choose another one.")
            return {"CANCELLED"}
        return self._add(context, sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS))


class GAUSSIAN_HEADS_OT_add_image(bpy.types.Operator):
    bl_idname = "gaussian_heads.add_image"
    bl_label = "Add Blender Image"
    bl_description = "Add an image of this file to the list, also a packed or painted one"
    bl_options = {"REGISTER", "UNDO"}

    image: StringProperty(name="Image", description="Name of the image in this file", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        image = bpy.data.images.get(self.image)
        settings = context.scene.gaussian_heads.photos
        if image is None:
            self.report({"ERROR"}, f"There is no image {self.image!r}. Choose one of this file's images.")
            return {"CANCELLED"}
        if any(item.image == image for item in settings.items):
            self.report({"WARNING"}, f"{image.name} is in the list already.")
            return {"CANCELLED"}
        item = settings.items.add()
        item.name, item.image = image.name, image
        settings.active = len(settings.items) - 1
        _check_soon(wants_engine=True)
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_remove_photo(bpy.types.Operator):
    bl_idname = "gaussian_heads.remove_photo"
    bl_label = "Remove Photo"
    bl_description = "Take the selected photo off the list; the file stays"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _has_photos(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.gaussian_heads.photos
        settings.items.remove(min(settings.active, len(settings.items) - 1))
        settings.active = max(min(settings.active, len(settings.items) - 1), 0)
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_clear_photos(bpy.types.Operator):
    bl_idname = "gaussian_heads.clear_photos"
    bl_label = "Clear Photos"
    bl_description = "Empty the list; the files stay"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _has_photos(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.gaussian_heads.photos.items.clear()
        context.scene.gaussian_heads.photos.active = 0
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_move_photo(bpy.types.Operator):
    bl_idname = "gaussian_heads.move_photo"
    bl_label = "Move Photo"
    bl_description = "Move the selected photo in the list; the first photos count most"
    bl_options = {"REGISTER", "UNDO"}

    direction: EnumProperty(
        name="Direction",
        description="Where to",
        items=(
            ("UP", "Up", "One place up"),
            ("DOWN", "Down", "One place down"),
            ("TOP", "Top", "To the top"),
            ("BOTTOM", "Bottom", "To the bottom"),
        ),
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _has_photos(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.gaussian_heads.photos
        last = len(settings.items) - 1
        source = min(settings.active, last)
        target = {"UP": source - 1, "DOWN": source + 1, "TOP": 0, "BOTTOM": last}[self.direction]
        target = min(max(target, 0), last)
        settings.items.move(source, target)
        settings.active = target
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_check_photos(bpy.types.Operator):
    bl_idname = "gaussian_heads.check_photos"
    bl_label = "Check Photos"
    bl_description = "Look for a face in every photo again, for files that have changed"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _has_photos(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        for item in context.scene.gaussian_heads.photos.items:
            item.state, item.message = "UNCHECKED", ""
        _check_soon(wants_engine=True)
        return {"FINISHED"}


def _has_photos(operator: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    if context.scene.gaussian_heads.photos.items:
        return True
    operator.poll_message_set("Add photos first.")
    return False


class GAUSSIAN_HEADS_FH_photos(bpy.types.FileHandler):
    """Photos dropped onto a 3D View from the desktop or from a file browser."""

    bl_idname = "GAUSSIAN_HEADS_FH_photos"
    bl_label = "Photos for a Gaussian Head"
    bl_import_operator = "gaussian_heads.add_photos"
    bl_file_extensions = ";".join(ENDINGS)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


register, unregister = bpy.utils.register_classes_factory(
    (
        GAUSSIAN_HEADS_OT_add_photos,
        GAUSSIAN_HEADS_OT_add_folder,
        GAUSSIAN_HEADS_OT_add_image,
        GAUSSIAN_HEADS_OT_remove_photo,
        GAUSSIAN_HEADS_OT_clear_photos,
        GAUSSIAN_HEADS_OT_move_photo,
        GAUSSIAN_HEADS_OT_check_photos,
        GAUSSIAN_HEADS_FH_photos,
    )
)
