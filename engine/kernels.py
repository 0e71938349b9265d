"""Compiles the engine's kernels: numba's ``njit``, whose cache may cost seconds but never a result.

numba's own cache raises where its folder is missing, full or read-only, or a path gets longer than Windows allows, and
with it the first picture fails. Here a kernel that cannot be kept is compiled again the next time.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    InTreeCacheLocator,
    NullCache,
    UserProvidedCacheLocator,
)

from engine import caches

LOG = logging.getLogger(__name__)
CHECKSUM_BYTES = hashlib.sha256().digest_size
UNUSABLE = (OSError, EOFError, ValueError, pickle.UnpicklingError)


def njit(**options) -> Callable[[Callable], Callable[..., Any]]:
    """``numba.njit`` with a cache on disk: in ``NUMBA_CACHE_DIR``, beside the source, or in the user's own folder."""

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


class _Own(InTreeCacheLocator):
    """A folder of the user's own, where neither of the others can be written."""

    def __init__(self, function: Callable, file: str):
        super().__init__(function, file)
        self._cache_path = str(caches.own_folder() / "numba")

    @classmethod
    def from_function(cls, py_func, py_file):
        with suppress(OSError):
            return super().from_function(py_func, py_file)


class _Names(CompileResultCacheImpl):
    _locator_classes = [_Flat, InTreeCacheLocator, _Own]

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        own = self.locator._py_file  # numba looks at this file alone, and kernels use what stands beside it
        place = f"{own} {fullname} {self.locator.get_disambiguator()} {sys.version} {abiflags} {_beside(own)}"
        return hashlib.sha256(place.encode()).hexdigest()[:16]


@functools.cache
def _beside(file: str) -> str:
    """The checksum of all code in a file's folder."""
    folder = Path(file).parent
    return _checksum(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hex()


class _Sealed(IndexDataCacheFile):
    """Every file ends with the checksum of the rest: what is in it is run as machine code, and may be damaged."""

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        content = io.BytesIO()
        with super()._open_for_write(filepath) as file:
            yield content
            file.write(content.getvalue() + _checksum(content.getvalue()))

    def _load_index(self) -> dict:
        self._check(self._index_path)
        return super()._load_index()

    def _load_data(self, name: str):
        self._check(self._data_path(name))
        return super()._load_data(name)

    def _check(self, path: str) -> None:
        with suppress(FileNotFoundError):
            content = Path(path).read_bytes()
            if _checksum(content[:-CHECKSUM_BYTES]) != content[-CHECKSUM_BYTES:]:
                raise ValueError(f"{path} is damaged")


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


class _Cache(FunctionCache):
    _impl_class = _Names

    def __init__(self, function: Callable):
        super().__init__(function)
        own = self._cache_file
        self._cache_file = _Sealed(own._cache_path, self._impl.filename_base, own._source_stamp)

    def save_overload(self, sig, data) -> None:
        try:
            super().save_overload(sig, data)
        except UNUSABLE as error:
            LOG.warning("The compiled %s cannot be kept: %s", self._py_func.__qualname__, error)

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except UNUSABLE:  # a damaged file is worse than none: it would not be written anew
            with suppress(OSError):
                self.flush()
            return None
