"""Finds what a package of plug-ins offers: every module in it has one ``SPEC``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any


def discover(package: str, path: Iterable[str]) -> dict[str, Any]:
    """The ``SPEC`` of every module of a package by its ``name``, sorted by ``order``, then name.

    A file more in the package's folder, or in another folder that is put on its ``__path__``, is a plug-in more.

    Args:
        package: its ``__name__``. path: its ``__path__``.
    """
    modules = [importlib.import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules(path)]
    specs = sorted((module.SPEC for module in modules), key=lambda spec: (spec.order, spec.name))
    return {spec.name: spec for spec in specs}
