"""What this computer must have before the engine is unpacked, and what Windows must be told to find it."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

from ..errors import AddonError

# What Blender calls a platform: Python's sys.platform, the names of its processor, and how an artist calls it.
PLATFORMS = {
    "windows-x64": ("win32", ("amd64", "x86_64"), "64-bit Windows on Intel and AMD"),
    "linux-x64": ("linux", ("x86_64", "amd64"), "64-bit Linux on Intel and AMD"),
    "macos-arm64": ("darwin", ("arm64",), "macOS on Apple silicon"),
}
# With an older runtime onnxruntime and PyTorch crash: std::mutex changed in 14.40.
OLDEST_RUNTIME = (14, 40)
RUNTIME = "msvcp140.dll"
REDISTRIBUTABLE = "https://aka.ms/vs/17/release/vc_redist.x64.exe"


def check(platform_name: str, macos: str) -> None:
    """Refuse, before a gigabyte is unpacked, what could not run.

    Args:
        platform_name: what the engine was packaged for, such as ``"macos-arm64"``.
        macos: the oldest macOS that its libraries run on, such as ``"14.0"``.

    Raises:
        AddonError: this is another system or processor, or an older macOS.
    """
    system, machines, words = PLATFORMS[platform_name]
    if sys.platform != system or platform.machine().lower() not in machines:
        raise AddonError(
            f"This extension's engine is for {words}, but this Blender is for {sys.platform} on {platform.machine()}.",
            "Install the zip for this Blender. There is none for Macs with Intel processors and Windows on ARM.",
        )
    if system == "darwin" and _numbers(platform.mac_ver()[0]) < _numbers(macos):
        raise AddonError(
            f"The engine needs macOS {macos.split('.')[0]} or newer; this is macOS {platform.mac_ver()[0]}.",
            "Update macOS. The heads that you have go on working here without the engine.",
        )


def library_folders(blender_dir: Path | None) -> list[Path]:
    """Where the engine finds, on Windows, what its packages need and do not bring; empty on other systems.

    Blender keeps ``python3.dll`` in its own folder, away from its Python. Microsoft's C++ runtime comes from Windows,
    or from Blender where Blender's is newer.

    Args:
        blender_dir: the folder of Blender's program; None where there is none (Blender as a module).

    Raises:
        AddonError: no C++ runtime is new enough.
    """
    if sys.platform != "win32":
        return []
    own = [
        folder for folder in (blender_dir, blender_dir and blender_dir / "blender.crt") if folder and folder.is_dir()
    ]
    windows = dll_version(Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / RUNTIME)
    newest = max([dll_version(folder / RUNTIME) for folder in own], default=())
    if max(windows, newest) < OLDEST_RUNTIME:
        found = f"only version {windows[0]}.{windows[1]}" if windows else "none"
        oldest = "{}.{}".format(*OLDEST_RUNTIME)
        raise AddonError(
            f"The engine needs Microsoft's Visual C++ Redistributable, version {oldest} or newer; there is {found}.",
            f"Get it from {REDISTRIBUTABLE}, install it, and start the engine again.",
        )
    return own if newest > windows else own[:1]


def dll_version(path: Path) -> tuple[int, ...]:
    """The version of a Windows library, such as ``(14, 44, 35211, 0)``; empty where there is none."""
    assert sys.platform == "win32"
    api = ctypes.WinDLL("version")
    size = api.GetFileVersionInfoSizeW(str(path), None)
    data, fixed, length = ctypes.create_string_buffer(size), ctypes.c_void_p(), ctypes.c_uint()
    if not size or not api.GetFileVersionInfoW(str(path), 0, size, data):
        return ()
    if not api.VerQueryValueW(data, "\\", ctypes.byref(fixed), ctypes.byref(length)):
        return ()
    assert fixed.value is not None
    high, low = (ctypes.c_uint32 * 4).from_address(fixed.value)[2:]  # VS_FIXEDFILEINFO's dwFileVersionMS and LS
    return high >> 16, high & 0xFFFF, low >> 16, low & 0xFFFF


def ending(code: int) -> str:
    """How a process ended, in words, from its exit code."""
    if code < 0:
        known = {4: "its processor is too old", 9: "it was killed, perhaps since memory ran out", 11: "it crashed"}
        return f"signal {-code}" + (f": {known[-code]}" if -code in known else "")
    known = {
        0xC0000005: "it crashed",
        0xC000001D: "its processor is too old",
        0xC0000017: "memory ran out",
        0xC000012D: "memory ran out",
        0xC0000135: f"a library is missing; Microsoft's C++ runtime is at {REDISTRIBUTABLE}",
        0xC0000142: "a library could not be started",
        0xC000013A: "it was interrupted",
        0xC0000409: "it crashed",
    }
    return f"0x{code:08X}: {known[code]}" if code in known else f"exit code {code}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
