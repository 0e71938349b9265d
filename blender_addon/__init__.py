"""Gaussian Heads: from portrait photos to a rigged, animatable head of Gaussian splats. This file only registers."""

from . import preferences, properties
from .operators import export as export_operators
from .panels import export as export_panel

# In the order of registration; panels come last.
MODULES = (
    preferences,
    properties,
    export_operators,
    export_panel,
)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
