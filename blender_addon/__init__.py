"""Gaussian Heads: from portrait photos to a rigged, animatable head of Gaussian splats. This file only registers."""

from . import preferences, properties

MODULES = (preferences, properties)


def register() -> None:
    for module in MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(MODULES):
        module.unregister()
