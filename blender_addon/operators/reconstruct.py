"""The reconstruct panel's buttons: photos to a head, in the background for artists, at once for scripts."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..engine_client.jobs import JobSnapshot
from ..engine_client.messages import JobOptions
from ..errors import AddonError
from ..paths import resolve
from ..preferences import flame_path
from ..properties import QUALITIES, QUALITY_NAMES
from ..systems import DEFAULT_HEAD
from ..tasks import reconstruction
from ..tasks.photo_files import PhotoFile, photo_file


class GAUSSIAN_HEADS_OT_reconstruct(bpy.types.Operator):
    bl_idname = "gaussian_heads.reconstruct"
    bl_label = "Reconstruct Head"
    bl_description = (
        "Turn the photos into a rigged Gaussian head. You can go on working meanwhile. Scripts wait for the head; "
        "arguments that they leave out come from the panels"
    )

    filepaths: StringProperty(
        name="Files", description="Photos and clips instead of the panel's, separated by ;", options={"SKIP_SAVE"}
    )
    directory: StringProperty(
        name="Folder", description="Folder of the file names in Files", subtype="DIR_PATH", options={"SKIP_SAVE"}
    )
    files: CollectionProperty(
        name="Files",
        description="Names of photos and clips within the folder, instead of the panel's",
        type=bpy.types.OperatorFileListElement,
        options={"SKIP_SAVE"},
    )
    head_name: StringProperty(
        name="Name", description="Name of the new head; the panel's where left out", maxlen=63, options={"SKIP_SAVE"}
    )
    system: StringProperty(
        name="System",
        description="How photos become Gaussians: surface, or the name of a network in the panel's list. The panel's "
        "choice where left out",
        options={"SKIP_SAVE"},
    )
    head_model: StringProperty(
        name="Head",
        description="makehuman, or the path of a FLAME file; the panel's where left out",
        options={"SKIP_SAVE"},
    )
    weights: StringProperty(
        name="Weights",
        description="Name of weights of your own, from the preferences; the panel's where left out",
        options={"SKIP_SAVE"},
    )
    quality: EnumProperty(
        name="Quality",
        description="How many Gaussians the head gets, and how long they are fitted",
        items=(
            ("PANEL", "As in the Panel", "What the panel says"),
            *QUALITIES,
        ),
        options={"SKIP_SAVE"},
    )
    count: IntProperty(
        name="Gaussians",
        description="Number of Gaussians on the surface instead of a quality; 0 for the quality's",
        min=0,
        options={"SKIP_SAVE"},
    )
    refine_seconds: FloatProperty(
        name="Refine",
        description="The most seconds of refinement for a photo, 0 for none; negative for the panel's",
        default=-1.0,
        max=3600.0,
        options={"SKIP_SAVE"},
    )
    frames: IntProperty(
        name="Frames per Clip",
        description="Frames taken from each clip; 0 for the panel's",
        min=0,
        max=64,
        options={"SKIP_SAVE"},
    )
    wait: BoolProperty(
        name="Wait", description="Wait for the head even where the button would not", options={"SKIP_SAVE"}
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.wait:
            return self.execute(context)
        try:
            reconstruction.start(context, self._request(context))
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        notes: dict[str, None] = {}
        printed: list[tuple[str, int]] = []

        def show(snapshot: JobSnapshot) -> None:
            line = (snapshot.stage, int(snapshot.fraction * 10))
            if line not in printed:
                printed.append(line)
                print(f"Gaussian Heads: {snapshot.fraction:4.0%} {snapshot.stage}", flush=True)
            notes.update(dict.fromkeys([reason for _, reason in snapshot.set_aside] + list(snapshot.warnings)))

        try:
            head = reconstruction.run(context, self._request(context), show)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for note in notes:
            self.report({"WARNING"}, note)
        self.report({"INFO"}, f"{head.name} is in the scene.")
        return {"FINISHED"}

    def _request(self, context: bpy.types.Context) -> reconstruction.Request:
        panel = context.scene.gaussian_heads.reconstruct
        quality = panel.quality if self.quality == "PANEL" else self.quality
        head_model = self.head_model or (DEFAULT_HEAD if panel.head_model == "MAKEHUMAN" else str(flame_path()))
        if head_model != DEFAULT_HEAD:
            head_model = str(resolve(head_model).absolute())
        system = self.system or panel.system
        options = JobOptions(
            system,
            head_model,
            QUALITY_NAMES[quality],
            panel.refine_seconds if self.refine_seconds < 0 else self.refine_seconds,
            self.count or None,
            self.frames or panel.frames,
            self.weights or (panel.weights if system == panel.system else "") or None,
        )
        name = (self.head_name or panel.head_name).strip() or "Head"
        return reconstruction.Request(tuple(self._photos(context)), name, options)

    def _photos(self, context: bpy.types.Context) -> list[PhotoFile]:
        folder = resolve(self.directory)
        named = [folder / file.name for file in self.files if file.name]
        named += [resolve(text.strip()) for text in self.filepaths.split(";") if text.strip()]
        if named:
            return [PhotoFile(path.absolute()) for path in named]
        return [photo_file(item) for item in context.scene.gaussian_heads.photos.items]


class GAUSSIAN_HEADS_OT_cancel_reconstruct(bpy.types.Operator):
    bl_idname = "gaussian_heads.cancel_reconstruct"
    bl_label = "Cancel"
    bl_description = "Stop the reconstruction; nothing is changed in the scene"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        cls.poll_message_set("No reconstruction is running.")
        running = reconstruction.current()
        return running is not None and running.is_running

    def execute(self, context: bpy.types.Context) -> set[str]:
        reconstruction.cancel()
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_import_result(bpy.types.Operator):
    bl_idname = "gaussian_heads.import_result"
    bl_label = "Import Result"
    bl_description = "Bring the finished head into this scene"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            reconstruction.import_result(context)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class GAUSSIAN_HEADS_OT_dismiss_result(bpy.types.Operator):
    bl_idname = "gaussian_heads.dismiss_result"
    bl_label = "Dismiss"
    bl_description = "Hide what is said about the last reconstruction; its avatar file stays"

    def execute(self, context: bpy.types.Context) -> set[str]:
        reconstruction.dismiss()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        GAUSSIAN_HEADS_OT_reconstruct,
        GAUSSIAN_HEADS_OT_cancel_reconstruct,
        GAUSSIAN_HEADS_OT_import_result,
        GAUSSIAN_HEADS_OT_dismiss_result,
    )
)
