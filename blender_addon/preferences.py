"""The add-on's preferences: which engine to use, and where the artist's own files are."""

import hashlib
import os
import sys
from pathlib import Path

import bpy
from bpy.props import CollectionProperty, EnumProperty, StringProperty

from .engine_client.address import check_url, is_loopback
from .engine_client.engine import ENGINE
from .engine_client.runtime import sweep_after_uninstall
from .engine_client.status import EngineSettings
from .errors import AddonError
from .paths import resolve
from .systems import Weights, weights_in
from .text import draw_text

EXTENSION_DIR = Path(__file__).parent
GUIDE = EXTENSION_DIR / "guide" / "index.html"
LOCAL_NAME = "gaussian_heads"  # below Windows' folder for local application data


def engine_changed() -> None:
    """The preferences ask for another engine, or for other files of it: a running one is stopped."""
    ENGINE.configure(engine_settings())


def _changed(preferences: bpy.types.AddonPreferences | bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    engine_changed()


class GaussianHeadsWeights(bpy.types.PropertyGroup):
    """A file of weights that networks may run with."""

    path: StringProperty(
        name="File", description="Weights that you trained or obtained yourself", subtype="FILE_PATH", update=_changed
    )


class GaussianHeadsPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    flame_path: StringProperty(
        name="FLAME File",
        description="FLAME head model that you obtained yourself (.pkl or .npz); FLAME's own terms apply to its heads",
        subtype="FILE_PATH",
    )
    weights: CollectionProperty(type=GaussianHeadsWeights)
    engine_python: StringProperty(
        name="Engine's Python",
        description="Another Python that has the engine's packages, for developers; empty uses the engine that comes "
        "with the extension",
        subtype="FILE_PATH",
        update=_changed,
    )
    device: EnumProperty(
        name="Work On",
        description="What makes heads and draws the Engine Preview",
        items=(
            ("auto", "Automatic", "An NVIDIA card where the engine can use it, otherwise the processor"),
            ("cpu", "Processor", "The processor, whatever cards there are"),
        ),
        update=_changed,
    )
    engine_url: StringProperty(
        name="Engine's URL",
        description="A running engine to use instead of starting one: http://127.0.0.1:PORT, or https://HOST:PORT for "
        "another computer",
        update=_changed,
    )
    engine_token: StringProperty(
        name="Token",
        description="The running engine's token. Blender stores it unencrypted in your preferences",
        subtype="PASSWORD",
        update=_changed,
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "flame_path")
        status = ENGINE.status
        self._draw_weights(context, weights_in(status.health))
        box = layout.box()
        row = box.row()
        row.alert = status.state == "failed"
        draw_text(row, context, f"{status.message} {status.hint}", "ERROR" if row.alert else "INFO")
        box.prop(self, "engine_python")
        box.prop(self, "device")
        box.prop(self, "engine_url")
        row = box.row()
        row.active = bool(self.engine_url)
        row.prop(self, "engine_token")
        wrong = _wrong_url(self.engine_url)
        if wrong:
            row = box.row()
            row.alert = True
            draw_text(row, context, wrong, "ERROR")
        if self.engine_url and not wrong and not is_loopback(self.engine_url):
            draw_text(layout, context, f"Photos are sent to the engine at {self.engine_url}.", "INTERNET")
        else:
            draw_text(layout, context, "Photos stay on this computer: the extension never goes online.", "LOCKED")
        if GUIDE.exists():  # only in the built extension
            layout.operator("wm.path_open", text="Open the Guide", icon="HELP").filepath = str(GUIDE)

    def _draw_weights(self, context: bpy.types.Context, known: tuple[Weights, ...]) -> None:
        """The files, with what the running engine finds in them."""
        box = self.layout.box()
        row = box.row()
        row.label(text="Weights")
        row.operator("gaussian_heads.add_weights", text="Add", icon="ADD")
        found = {weights.name: weights for weights in known}
        for index, item in enumerate(self.weights):
            row = box.row()
            row.prop(item, "path", text="")
            row.operator("gaussian_heads.remove_weights", text="", icon="X").index = index
            weights = found.get(Path(item.path).name)
            if weights is None:
                draw_text(box, context, "What is in it is said once the engine runs.", "INFO")
            elif weights.problem:
                draw_text(box, context, weights.problem, "ERROR")
            else:
                needs = f" Needs {weights.missing}." if weights.missing else ""
                draw_text(box, context, f"{weights.holds}. Licence: {weights.licence}.{needs}", "CHECKMARK")


def _wrong_url(url: str) -> str:
    """What is wrong with the engine's address; empty where nothing is."""
    try:
        if url:
            check_url(url)
    except AddonError as error:
        return str(error)
    return ""


def get_preferences() -> GaussianHeadsPreferences | None:
    """The preferences; None where the add-on was enabled without being entered in Blender's list of add-ons."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon else None


def user_dir() -> Path:
    """The extension's own folder in the artist's files: logs and the last heads."""
    return Path(bpy.utils.extension_path_user(__package__, create=True))


def local_dir() -> Path:
    """The folder for what can be made again: the unpacked engine and its caches.

    On Windows it is apart, named after this Blender's own folder: that one lies in the roaming profile, which companies
    copy over the network at every login, and leaves too little of the 259 characters that a path may have.
    """
    user = user_dir()
    local = os.environ.get("LOCALAPPDATA", "")
    if sys.platform != "win32" or not local:
        return user / "engine"
    return Path(local) / LOCAL_NAME / hashlib.sha256(str(user).lower().encode()).hexdigest()[:3]


def blender_dir() -> Path | None:
    """The folder of Blender's program; None where Blender is a module."""
    return Path(bpy.app.binary_path).parent if bpy.app.binary_path else None


def engine_settings() -> EngineSettings:
    """The engine that the preferences ask for."""
    preferences = get_preferences()
    if preferences is None:
        return EngineSettings(EXTENSION_DIR, user_dir(), local_dir(), blender_dir())
    python = preferences.engine_python.strip()
    return EngineSettings(
        EXTENSION_DIR,
        user_dir(),
        local_dir(),
        blender_dir(),
        python=resolve(python) if python else None,
        url=preferences.engine_url.strip(),
        token=preferences.engine_token.strip(),
        device=preferences.device,
        weights=tuple(resolve(item.path).absolute() for item in preferences.weights if item.path.strip()),
        online=bpy.app.online_access,
    )


def flame_path() -> Path:
    """The artist's FLAME file.

    Raises:
        AddonError: none is set, or it is not there.
    """
    preferences = get_preferences()
    text = preferences.flame_path.strip() if preferences else ""
    if not text:
        raise AddonError("No FLAME file is set.", "Set yours in the preferences, or choose the default head.")
    path = resolve(text)
    if not path.is_file():
        raise AddonError(f"The FLAME file {path} is not there.", "Choose it again in the extension's preferences.")
    return path


_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (GaussianHeadsWeights, GaussianHeadsPreferences)
)


def register() -> None:
    _register_classes()
    ENGINE.configure(engine_settings())


def unregister() -> None:
    _unregister_classes()
    local, user = local_dir(), user_dir()
    if user not in local.parents and local.is_dir():  # Blender removes only its own folder when it uninstalls
        sweep_after_uninstall(EXTENSION_DIR, local)
