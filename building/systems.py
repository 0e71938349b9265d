"""What the systems of artists bring: their libraries, their versions, and what the wheels need of Microsoft's."""

from __future__ import annotations

import re
from dataclasses import dataclass

from building.wheels import MACOS as DEPLOYMENT


@dataclass(frozen=True)
class System:
    """A system as Blender's oldest version that the extension supports asks for it."""

    format: str  # of its binaries, as in `binaries.Binary`
    machine: str
    version_of: str  # what the minimum counts
    minimum: tuple[int, ...]
    libraries: re.Pattern[str]  # that every installation has, case apart

    def brings(self, library: str) -> bool:
        return bool(self.libraries.fullmatch(library))


WINDOWS = (
    r"api-ms-win-(core|crt)-[-\w]+",  # API sets: doors into the system's own libraries and the universal C runtime
    r"kernel32|ntdll|user32|gdi32|msimg32|advapi32|shell32|shlwapi|ole32|oleaut32|setupapi|userenv|winmm|msvcrt",
    r"psapi|dbghelp|imagehlp|wintrust",  # processes, and the files that they were loaded from
    r"bcrypt|bcryptprimitives|ncrypt|crypt32|secur32",  # ciphers and certificates
    r"ws2_32|iphlpapi|wininet|winhttp|urlmon|dnsapi",  # the network, which has a gate of its own
    r"dxgi|avicap32|avrt",  # graphics cards, cameras, sound
    r"python3",  # in Blender's own folder, whose path the engine is told
    r"vcruntime140|vcruntime140_1",  # beside every python.exe
)
# What manylinux_2_28 promises (PEP 600), less the windows and fonts of a desktop, which the engine never opens.
LINUX = (
    r"ld-linux-x86-64\.so\.2",
    r"lib(c|m)\.so\.6|lib(dl|resolv)\.so\.2|lib(rt|util|mvec|nsl)\.so\.1|libpthread\.so\.0",  # glibc
    r"libstdc\+\+\.so\.6|libgcc_s\.so\.1",  # GCC's
    r"libz\.so\.1",
)
MACOS = (r"/usr/lib/[^/]+\.dylib", r"/System/Library/Frameworks/[\w./]+")
OLDEST_MACOS = tuple(map(int, DEPLOYMENT["MACOSX_DEPLOYMENT_TARGET"].split(".")))

SYSTEMS = {
    "windows-x64": System("PE", "x64", "Windows", (6, 3), re.compile(f"({'|'.join(WINDOWS)})\\.dll", re.IGNORECASE)),
    "linux-x64": System("ELF", "x64", "glibc", (2, 28), re.compile("|".join(LINUX))),
    "macos-arm64": System("Mach-O", "arm64", "macOS", OLDEST_MACOS, re.compile("|".join(MACOS))),
}
DRIVER = ("libcuda.so.1", "nvcuda.dll")  # of NVIDIA's graphics cards

# Microsoft's C++ runtime, which the extension asks for before it starts the engine; see docs/licences.md.
RUNTIME = (
    "msvcp140.dll", "msvcp140_1.dll", "msvcp140_2.dll", "msvcp140_atomic_wait.dll", "concrt140.dll", "vcomp140.dll",
)  # fmt: skip
# The wheels that need it, and which of its files. Others carry copies under names of their own.
RUNTIMES = {
    "libigl": ("msvcp140.dll",),
    "numba": ("msvcp140.dll", "vcomp140.dll"),
    "onnxruntime": ("msvcp140.dll", "msvcp140_1.dll"),
    "torch": ("msvcp140.dll", "msvcp140_atomic_wait.dll"),
}

# Libraries that may be missing: the paths that need them, the libraries, and why it does no harm.
NOT_MISSED = {
    (r"numba/np/ufunc/(omp|tbb)pool\..*", r"tbb12\.dll|lib(gomp|tbb)\.so\.\d.*|@rpath/libomp\.dylib"): (
        "numba tries its threading layers in turn and falls back on its own"
    ),
}
