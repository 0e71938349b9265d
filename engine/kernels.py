"""Compiles the engine's kernels: numba's ``njit``, whose cache may cost seconds but never a result.

numba's own cache raises where its folder is missing, full or read-only, or a path gets longer than Windows allows, and
with it the first picture fails. Here a kernel that cannot be kept is compiled again the next time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    InTreeCacheLocator,
    NullCache,
    UserProvidedCacheLocator,
)

LOG = logging.getLogger(__name__)
UNUSABLE = (OSError, EOFError, ValueError, pickle.UnpicklingError)


def njit(**options) -> Callable[[Callable], Callable[..., Any]]:
    """``numba.njit`` with a cache on disk, in ``NUMBA_CACHE_DIR`` or beside the source."""

    def compile_later(function: Callable) -> Callable[..., Any]:
        dispatcher: Any = numba.njit(**options)(function)
        dispatcher._cache = _open(function)  # what numba's own cache=True sets, too
        return dispatcher

    return compile_later


def threading_layer() -> str:
    """What numba's parallel kernels run on: ``omp``, ``tbb`` or ``workqueue``; empty before the first of them ran."""
    with suppress(ValueError):
        return numba.threading_layer()  # type: ignore[attr-defined]
    return ""


def _open(function: Callable) -> FunctionCache | NullCache:
    try:
        return _Cache(function)
    except RuntimeError:
        LOG.warning("No folder can keep the compiled %s; NUMBA_CACHE_DIR may name one.", function.__qualname__)
        return NullCache()


class _Flat(UserProvidedCacheLocator):
    """The given folder itself: the names below are short and unique, and Windows counts characters."""

    def get_cache_path(self) -> str:
        return os.path.dirname(self._cache_path)


class _Names(CompileResultCacheImpl):
    _locator_classes = [_Flat, InTreeCacheLocator]

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        place = f"{self.locator._py_file} {fullname} {self.locator.get_disambiguator()} {sys.version} {abiflags}"
        return hashlib.sha256(place.encode()).hexdigest()[:16]


class _Cache(FunctionCache):
    _impl_class = _Names

    def save_overload(self, sig, data) -> None:
        try:
            super().save_overload(sig, data)
        except UNUSABLE as error:
            LOG.warning("The compiled %s cannot be kept: %s", self._py_func.__qualname__, error)

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except UNUSABLE:  # a truncated file is worse than none: it would not be written anew
            with suppress(OSError):
                self.flush()
            return None
