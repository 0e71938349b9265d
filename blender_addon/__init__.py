"""Gaussian Heads: from portrait photos to a rigged, animatable head of Gaussian splats. This file only registers."""

from . import preferences, properties
from .animation import live, performing, symmetry
from .operators import (
    animation as animation_operators,
    clean_up as clean_up_operators,
    engine as engine_operators,
    export as export_operators,
    expression as expression_operators,
    heads as heads_operators,
    importing as importing_operators,
    live as live_operators,
    performance as performance_operators,
    photo_pose as photo_pose_operators,
    photos as photos_operators,
    pose as pose_operators,
    preview as preview_operators,
    reconstruct as reconstruct_operators,
    render as render_operators,
    select as select_operators,
    show as show_operators,
    voice as voice_operators,
    weights as weights_operators,
)
from .panels import (
    animation as animation_panel,
    engine as engine_panel,
    export as export_panel,
    expression as expression_panel,
    live as live_panel,
    photos as photos_panel,
    pose as pose_panel,
    preview as preview_panel,
    reconstruct as reconstruct_panel,
    render as render_panel,
)
from .tasks import changes, photo_checks, reconstruction, together, watch
from .viewport import draw

# In the order of registration; panels come last.
MODULES = (
    preferences,
    properties,
    watch,
    photo_checks,
    reconstruction,
    changes,
    together,
    draw,
    photos_operators,
    reconstruct_operators,
    engine_operators,
    importing_operators,
    export_operators,
    heads_operators,
    symmetry,
    expression_operators,
    pose_operators,
    performing,
    live,
    animation_operators,
    performance_operators,
    live_operators,
    clean_up_operators,
    voice_operators,
    photo_pose_operators,
    preview_operators,
    render_operators,
    select_operators,
    show_operators,
    weights_operators,
    photos_panel,
    reconstruct_panel,
    expression_panel,
    pose_panel,
    animation_panel,
    live_panel,
    preview_panel,
    render_panel,
    export_panel,
    engine_panel,
)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
