"""What must be so before anything else is imported, in every process of the engine and on every system.

``engine/__init__.py`` calls :func:`prepare`, so that no import of the engine comes before it. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import IO

LIBRARIES = "GAUSSIAN_HEADS_LIBRARIES"  # folders with DLLs for Windows, the first one counts
NICENESS = 5  # an artist's own work comes first
VARIABLES = {
    # The engine sends nothing anywhere: no usage metrics, no look-ups.
    "ORT_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    # The first of these that a system has; workqueue, the last resort, allows kernels in one thread only.
    "NUMBA_THREADING_LAYER_PRIORITY": "omp tbb workqueue",
}
# By full path and in this order, since each may need the ones before: Blender keeps python3.dll away from its Python,
# and an older C++ runtime in Windows' own folder would otherwise win.
PRELOADED = (
    "python3", "vcruntime140", "vcruntime140_1", "msvcp140", "msvcp140_1", "msvcp140_2", "msvcp140_atomic_wait",
    "msvcp140_codecvt_ids", "concrt140", "vcomp140",
)  # fmt: skip
RUNTIME_HINT = "Install Microsoft's Visual C++ Redistributable (https://aka.ms/vs/17/release/vc_redist.x64.exe)."
MEDIA_HINT = (
    "Windows N and KN need the Media Feature Pack: Settings > System > Optional features > Add an optional feature."
)


def prepare() -> None:
    """Set the variables, find the libraries, and speak UTF-8. Doing it twice does no harm."""
    os.environ.update(VARIABLES)
    if sys.platform == "win32":
        _load_libraries([Path(folder) for folder in os.environ.get(LIBRARIES, "").split(os.pathsep) if folder])
        for stream in (sys.stdout, sys.stderr):  # a console's code page knows few names
            if stream is not None:
                stream.reconfigure(encoding="utf-8", errors="replace")


def claim_stdout() -> IO[str]:
    """Keep standard output for whoever calls: what libraries print there goes to standard error from now on.

    Returns:
        A text stream to the real standard output.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "w", encoding="utf-8", buffering=1)


def yield_to_others() -> None:
    """Let every other program have the processor first."""
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32")
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        kernel.SetPriorityClass(ctypes.c_void_p(kernel.GetCurrentProcess()), 0x4000)  # BELOW_NORMAL_PRIORITY_CLASS
    else:
        os.nice(NICENESS)


def import_hint(error: BaseException) -> str:
    """What to do about a library that cannot be loaded; empty where that is not what happened."""
    if sys.platform != "win32" or not isinstance(error, (ImportError, OSError)) or "DLL" not in str(error):
        return ""
    return MEDIA_HINT if "cv2" in str(error) else RUNTIME_HINT


def _load_libraries(folders: list[Path]) -> None:
    assert sys.platform == "win32"
    for folder in filter(Path.is_dir, folders):
        os.add_dll_directory(str(folder))
    for name in PRELOADED:
        for file in (folder / f"{name}.dll" for folder in folders):
            if file.is_file():
                ctypes.WinDLL(str(file))
                break
