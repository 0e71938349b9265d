"""The photos panel: the photos of one person, in order, with what the engine says of each."""

import bpy
import bpy.utils.previews

from ..engine_client.engine import ENGINE
from ..paths import ending_of
from ..tasks import reconstruction
from ..tasks.photo_files import CLIP_ENDINGS
from ..text import draw_text
from .waiting import draw_engine_on_its_way

ICONS = {
    "UNCHECKED": "RADIOBUT_OFF",
    "CHECKING": "SORTTIME",
    "GOOD": "CHECKMARK",
    "WARNING": "ERROR",
    "BAD": "CANCEL",
}
UNKNOWN_TO_BLENDER = (".heic", ".heif")  # the engine reads them, Blender has no picture of them

_thumbnails: bpy.utils.previews.ImagePreviewCollection | None = None


def thumbnail(item: bpy.types.PropertyGroup) -> int:
    """The icon of a photo; 0 where there is none. Blender loads the picture later, in a job of its own."""
    if item.image is not None:
        preview = item.image.preview
        return preview.icon_id if preview else 0
    ending = ending_of(item.path)
    if bpy.app.background or _thumbnails is None or ending in UNKNOWN_TO_BLENDER:
        return 0
    if item.path not in _thumbnails:
        _thumbnails.load(item.path, item.path, "MOVIE" if ending in CLIP_ENDINGS else "IMAGE")
    return _thumbnails[item.path].icon_id


class GAUSSIAN_HEADS_UL_photos(bpy.types.UIList):
    bl_idname = "GAUSSIAN_HEADS_UL_photos"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0) -> None:
        row = layout.row(align=True)
        if icon_id := thumbnail(item):
            row.label(text=item.name, icon_value=icon_id)
        else:
            is_clip = ending_of(item.path) in CLIP_ENDINGS
            row.label(text=item.name, icon="FILE_MOVIE" if is_clip else "FILE_IMAGE")
        verdict = row.row()
        verdict.alert = item.state == "BAD"
        verdict.label(text="", icon=ICONS[item.state])


class GAUSSIAN_HEADS_MT_images(bpy.types.Menu):
    """Images of this file, also packed and painted ones"""

    bl_idname = "GAUSSIAN_HEADS_MT_images"
    bl_label = "Blender Image"

    def draw(self, context: bpy.types.Context) -> None:
        images = [image for image in bpy.data.images if image.source in ("FILE", "GENERATED", "MOVIE")]
        for image in images:
            icon = {"icon_value": image.preview.icon_id} if image.preview else {"icon": "IMAGE_DATA"}
            self.layout.operator("gaussian_heads.add_image", text=image.name, **icon).image = image.name
        if not images:
            self.layout.label(text="This file has no images")


class GAUSSIAN_HEADS_MT_photos(bpy.types.Menu):
    """More that can be done with the list of photos"""

    bl_idname = "GAUSSIAN_HEADS_MT_photos"
    bl_label = "Photos"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator("gaussian_heads.move_photo", text="Move to Top", icon="TRIA_UP_BAR").direction = "TOP"
        layout.operator("gaussian_heads.move_photo", text="Move to Bottom", icon="TRIA_DOWN_BAR").direction = "BOTTOM"
        layout.separator()
        layout.operator("gaussian_heads.check_photos", icon="VIEWZOOM")
        layout.operator("gaussian_heads.clear_photos", icon="TRASH")


class GAUSSIAN_HEADS_PT_photos(bpy.types.Panel):
    bl_idname = "GAUSSIAN_HEADS_PT_photos"
    bl_label = "Photos"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Gaussian Heads"
    bl_order = 10

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        settings = context.scene.gaussian_heads.photos
        row = layout.row()
        row.template_list(GAUSSIAN_HEADS_UL_photos.bl_idname, "", settings, "items", settings, "active", rows=4)
        side = row.column(align=True)
        side.operator("gaussian_heads.add_photos", text="", icon="ADD").kind = "ALL"
        side.operator("gaussian_heads.remove_photo", text="", icon="REMOVE")
        side.separator()
        side.menu(GAUSSIAN_HEADS_MT_photos.bl_idname, text="", icon="DOWNARROW_HLT")
        side.separator()
        side.operator("gaussian_heads.move_photo", text="", icon="TRIA_UP").direction = "UP"
        side.operator("gaussian_heads.move_photo", text="", icon="TRIA_DOWN").direction = "DOWN"
        grid = layout.grid_flow(columns=2, even_columns=True, align=True)
        grid.operator("gaussian_heads.add_photos", text="Photos", icon="FILE_IMAGE").kind = "PHOTOS"
        grid.operator("gaussian_heads.add_folder", text="Folder", icon="FILE_FOLDER")
        grid.operator("gaussian_heads.add_photos", text="Clip", icon="FILE_MOVIE").kind = "CLIPS"
        grid.menu(GAUSSIAN_HEADS_MT_images.bl_idname, icon="IMAGE_DATA")
        if any(item.state in ("UNCHECKED", "CHECKING") for item in settings.items):
            # While a head is on its way the bar is there.
            running = reconstruction.current()
            if running is None or not running.is_running:
                draw_engine_on_its_way(layout, context, ENGINE.status)
        if not settings.items:
            draw_text(layout, context, "One sharp portrait from the front is enough; more sides help.", "INFO")
        elif settings.active < len(settings.items):
            self._draw_active(context, settings.items[settings.active])

    def _draw_active(self, context: bpy.types.Context, item: bpy.types.PropertyGroup) -> None:
        if icon_id := thumbnail(item):
            self.layout.template_icon(icon_id, scale=5.0)
        if item.message:
            row = self.layout.row()
            row.alert = item.state == "BAD"
            draw_text(row, context, item.message, ICONS[item.state])


_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (GAUSSIAN_HEADS_UL_photos, GAUSSIAN_HEADS_MT_images, GAUSSIAN_HEADS_MT_photos, GAUSSIAN_HEADS_PT_photos)
)


def register() -> None:
    global _thumbnails
    _register_classes()
    _thumbnails = bpy.utils.previews.new()


def unregister() -> None:
    global _thumbnails
    if _thumbnails is not None:
        bpy.utils.previews.remove(_thumbnails)
        _thumbnails = None
    _unregister_classes()
