"""What the panels remember in the .blend: ``scene.gaussian_heads``, one group per panel.

Only wishes of the artist are kept here. What the engine is doing right now lives in the modules that do it, and what
belongs to a head (keys, bones, Gaussians) is plain Blender data on the head.
"""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from . import systems
from .compat import HAS_NATIVE_SPLATS
from .engine_client.engine import ENGINE

# Gaussians on the surface per quality; hair and torso come on top.
QUALITIES = (
    ("DRAFT", "Draft", "40 000 Gaussians, fitted in 20 steps: a quick look"),
    ("STANDARD", "Normal", "130 000 Gaussians, fitted in 60 steps"),
    ("HIGH", "High", "300 000 Gaussians, fitted in 200 steps: for close-ups"),
)
QUALITY_NAMES = {"DRAFT": "draft", "STANDARD": "normal", "HIGH": "high"}  # the engine's
NECK_SHARE = {  # the same for what is recorded and what is live
    "name": "Neck's Share",
    "description": "How much of the head's turn the neck does",
    "default": 0.4,
    "min": 0.0,
    "max": 1.0,
    "subtype": "FACTOR",
}


class Photo(bpy.types.PropertyGroup):
    """One photo or clip of the list; ``name`` is what the list shows."""

    path: StringProperty(name="File", description="The photo or clip on disk", subtype="FILE_PATH")
    image: PointerProperty(name="Image", description="The Blender image to use instead of a file", type=bpy.types.Image)
    state: EnumProperty(
        name="State",
        description="What the engine said of this photo",
        items=(
            ("UNCHECKED", "Not checked", "The engine has not looked at this photo yet"),
            ("CHECKING", "Checking", "The engine is looking for a face"),
            ("GOOD", "Good", "A face was found"),
            ("WARNING", "Usable", "A face was found, but something may harm the result"),
            ("BAD", "Not usable", "This photo will be left out"),
        ),
        default="UNCHECKED",
    )
    message: StringProperty(name="Verdict", description="What was found in this photo, and what to do")


class PhotoSettings(bpy.types.PropertyGroup):
    """The photos panel."""

    items: CollectionProperty(type=Photo)
    active: IntProperty(name="Active Photo", description="The selected photo of the list", min=0)


def _system_items(self: bpy.types.PropertyGroup | None, context: bpy.types.Context | None) -> list[systems.Item]:
    """Blender asks for the menu whenever it reads the choice, which it keeps as a number."""
    if self is None:  # of the property as such
        kept: tuple[str, ...] = ()
    elif self.system_name:
        kept = (self.system_name,)
    elif self.is_property_set("system"):  # in a file from before names were kept, and so one of the built-in systems
        kept = tuple(system.name for system in systems.BUILT_IN)
    else:
        kept = (systems.DEFAULT_SYSTEM,)
    return systems.menu_items(systems.known(ENGINE.health), kept)


def _keep_system_name(self: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    self.system_name = self.system


def _weights_names(self: bpy.types.PropertyGroup, context: bpy.types.Context, text: str) -> list[str]:
    """The artist's weights for the chosen system."""
    mine = [weights.name for weights in systems.weights_in(ENGINE.health) if weights.system == self.system]
    return [name for name in mine if text.lower() in name.lower()]


class ReconstructSettings(bpy.types.PropertyGroup):
    """The reconstruct panel.

    Attributes:
        system_name: the system again, so that a choice that no engine here knows can still be named.
    """

    head_name: StringProperty(name="Name", description="Name of the new head", default="Head", maxlen=63)
    system: EnumProperty(
        name="System",
        description="How photos become Gaussians",
        items=_system_items,
        default=systems.number(systems.DEFAULT_SYSTEM),
        update=_keep_system_name,
    )
    system_name: StringProperty(options={"HIDDEN"})
    head_model: EnumProperty(
        name="Head",
        description="The head model that carries the Gaussians",
        items=(
            ("MAKEHUMAN", "Default", "The built-in head; free for every use"),
            ("FLAME", "FLAME", "A FLAME file of your own, set in the preferences; FLAME's terms apply to the head"),
        ),
        default="MAKEHUMAN",
    )
    weights: StringProperty(
        name="Weights",
        description="Weights of your own for the network, from the preferences; empty for those of the extension",
        search=_weights_names,
    )
    quality: EnumProperty(
        name="Quality",
        description="How many Gaussians the head gets, and how long they are fitted to the photos",
        items=QUALITIES,
        default="STANDARD",
    )
    refine_seconds: FloatProperty(
        name="Refine at Most",
        description="Ends the fitting to the photos after so long for a photo, even where the quality is not reached; "
        "0 skips it",
        default=600.0,
        min=0.0,
        soft_max=600.0,
        max=3600.0,
        subtype="TIME_ABSOLUTE",
        unit="TIME_ABSOLUTE",
    )
    frames: IntProperty(
        name="Frames per Clip", description="How many frames are taken from each clip", default=4, min=1, max=64
    )


class ExpressionSettings(bpy.types.PropertyGroup):
    """The expression panel."""

    search: StringProperty(
        name="Search", description="Show only the sliders whose names contain this", options={"TEXTEDIT_UPDATE"}
    )
    symmetric: BoolProperty(
        name="Symmetric", description="Moving a slider of one side moves the other side's too", default=False
    )


def _redraw_viewports(self: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """Blender redraws the sidebar alone."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


class ViewportSettings(bpy.types.PropertyGroup):
    """The preview panel."""

    show_splats: BoolProperty(
        name="Splats",
        description="Draw the heads' Gaussians in the 3D View",
        default=not HAS_NATIVE_SPLATS,
        update=_redraw_viewports,
    )
    occlude: BoolProperty(
        name="Behind Meshes",
        description="Let the meshes of the scene hide Gaussians behind them",
        default=True,
        update=_redraw_viewports,
    )
    engine_preview: BoolProperty(
        name="Engine Preview",
        description="Show frames rendered by the engine instead of the built-in drawing",
        update=_redraw_viewports,
    )


LIVE_SOURCES = (
    ("LIVELINKFACE", "Live Link Face", "Epic's app on an iPhone or iPad, in ARKit mode; port 11111"),
    ("IFACIALMOCAP", "iFacialMocap", "The app iFacialMocap on an iPhone or iPad; port 49983"),
    ("VMC", "VMC", "Programs that send the Virtual Motion Capture protocol with Perfect Sync; port 39539"),
    ("FACECAP", "Face Cap", "The app Face Cap on an iPhone or iPad, in its live mode; port 9000"),
    ("WEBCAM", "Webcam", "A camera of the engine's computer. Look into it, at rest, for a second at the beginning"),
    ("CLIP", "Clip", "A video clip, played as if its actor were before a camera now"),
)
LISTEN = {"LOOPBACK": "127.0.0.1", "NETWORK": "0.0.0.0"}


class LiveSettings(bpy.types.PropertyGroup):
    """The live panel."""

    source: EnumProperty(name="Source", description="What moves the head", items=LIVE_SOURCES, default="LIVELINKFACE")
    listen: EnumProperty(
        name="Listen",
        description="Who may send",
        items=(
            ("LOOPBACK", "This Computer", "Only programs on this computer"),
            ("NETWORK", "Network", "Phones and computers in your network, too; the first one that sends is kept"),
        ),
        default="LOOPBACK",
    )
    port: IntProperty(name="Port", description="To listen on; 0 for the source's own", min=0, max=65535)
    phone: StringProperty(name="Phone", description="The phone's address, four numbers, as its app shows it")
    camera: IntProperty(name="Camera", description="Which camera, 0 for the first one", min=0, max=99)
    clip: StringProperty(name="Clip", description="The clip to be played", subtype="FILE_PATH")
    parts: EnumProperty(
        name="Parts",
        description="What follows the source",
        items=(
            ("BROWS", "Brows", "The brows' shape keys"),
            ("EYES", "Eyes", "The eyes' shape keys"),
            ("MOUTH", "Mouth", "The shape keys of mouth, jaw, cheeks, nose and tongue"),
            ("HEAD", "Head", "The head's turn, onto the bones of head and neck"),
            ("GAZE", "Eyeballs", "The eyes' turn, onto their bones in the place of the eyeLook keys"),
        ),
        default={"BROWS", "EYES", "MOUTH", "HEAD"},
        options={"ENUM_FLAG"},
    )
    gain: FloatProperty(
        name="Gain", description="How strong the expressions become; 1 as sent", default=1.0, min=0.0, max=4.0
    )
    smoothing: FloatProperty(
        name="Smoothing",
        description="How much tremble is taken out, 0 for none; blinks pass, and all else lags a little",
        default=0.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    mirror: BoolProperty(name="Mirror", description="Left for right, as in a mirror")
    neck_share: FloatProperty(**NECK_SHARE)


class RenderSettings(bpy.types.PropertyGroup):
    """The render panel."""

    over_scene: BoolProperty(name="Over Scene", description="Lay the splats over the scene's own render", default=False)
    depth: BoolProperty(name="Depth", description="Also write each frame's depth as OpenEXR", default=False)
    samples: IntProperty(
        name="Samples",
        description="How often a frame is drawn for the scene's motion blur and the camera's depth of field",
        default=16,
        min=2,
        max=1024,
        soft_max=64,
    )


class SceneSettings(bpy.types.PropertyGroup):
    """Everything that the panels remember of a scene."""

    photos: PointerProperty(type=PhotoSettings)
    reconstruct: PointerProperty(type=ReconstructSettings)
    expression: PointerProperty(type=ExpressionSettings)
    viewport: PointerProperty(type=ViewportSettings)
    render: PointerProperty(type=RenderSettings)
    live: PointerProperty(type=LiveSettings)


_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (
        Photo,
        PhotoSettings,
        ReconstructSettings,
        ExpressionSettings,
        ViewportSettings,
        RenderSettings,
        LiveSettings,
        SceneSettings,
    )
)


def register() -> None:
    _register_classes()
    bpy.types.Scene.gaussian_heads = PointerProperty(type=SceneSettings)


def unregister() -> None:
    del bpy.types.Scene.gaussian_heads
    _unregister_classes()
