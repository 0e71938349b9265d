"""Animate from Voice: a voice moves the head's lips."""

from __future__ import annotations

import bpy
from bpy.props import FloatProperty, IntProperty, StringProperty

from ..animation import performing
from ..animation.capture import Capture
from ..engine_client.jobs import TakeJob
from ..paths import resolve
from .performance import KeysFile


class GAUSSIAN_HEADS_OT_animate_from_voice(KeysFile, bpy.types.Operator):
    """Move the head's lips by a voice, with blinks and a little motion, as keyframes. English is best, with its text"""

    bl_idname = "gaussian_heads.animate_from_voice"
    bl_label = "Animate from Voice"

    filepath: StringProperty(name="Voice", description="A sound, or a clip with one", subtype="FILE_PATH")
    filter_glob: StringProperty(
        default="*.wav;*.flac;*.ogg;*.opus;*.mp3;*.m4a;*.aac;*.aif;*.aiff;*.mp4;*.m4v;*.mov;*.webm;*.mkv;*.avi",
        options={"HIDDEN", "SKIP_SAVE"},
    )
    text: StringProperty(
        name="Text",
        description="What is said, in English. Without it lips are guessed from the sound, less exactly",
    )
    liveliness: FloatProperty(
        name="Liveliness",
        description="How much the face blinks, raises brows and moves beside speaking, 0 for not at all",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    seed: IntProperty(name="Seed", description="Another one blinks and moves at other moments", default=0, min=0)

    def begin(self) -> TakeJob[Capture]:
        return performing.speak(resolve(self.filepath), self.text, self.seed, self.liveliness)


register, unregister = bpy.utils.register_classes_factory((GAUSSIAN_HEADS_OT_animate_from_voice,))
