"""gsplat's Python front, with compiled kernels behind it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType

from engine.errors import EngineError
from engine.splatting.cuda import binary, csrc

BACKEND = "gsplat.cuda._backend"  # the module that looks for gsplat's compiled half, and would compile it
TOOLKIT = (
    "Install the extension's CUDA edition, which brings them, or CUDA's toolkit with nvcc, ninja and a C++ compiler."
)


@cache
def front() -> Callable:
    """gsplat's ``rasterization``. Of its compiled halves the first that there is counts: ``gsplat.csrc``, compiled for
    this Python and PyTorch; the kernels that the engine brings; what gsplat compiles here in minutes.

    Raises:
        EngineError: gsplat is not installed, or there is none of them.
    """
    try:
        import gsplat
    except ImportError as error:
        raise EngineError(
            "The GPU rasteriser gsplat is not installed.", "Install gsplat 1.5.3, or run on the CPU."
        ) from error
    if not _has_own() and binary.is_bundled():
        stand_in = ModuleType(BACKEND)
        stand_in._C = csrc  # type: ignore[attr-defined]
        sys.modules[BACKEND] = stand_in
    elif _compiled() is None:
        raise EngineError("gsplat's kernels are neither bundled nor compiled here.", TOOLKIT)
    return gsplat.rasterization


def _has_own() -> bool:
    try:
        from gsplat import csrc as _  # noqa: F401
    except ImportError:  # it also is one for another PyTorch
        return False
    return True


def _compiled() -> ModuleType | None:
    try:
        from gsplat.cuda._backend import _C
    except Exception as error:  # compilers, ninja and PyTorch raise anything
        raise EngineError(
            f"gsplat's kernels are not bundled and could not be compiled here ({type(error).__name__}).", TOOLKIT
        ) from error
    return _C
