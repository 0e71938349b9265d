"""Virtual environments with pinned packages, and the system libraries that these packages expect."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from building import locks, shell
from building.locks import Lock
from building.shell import BUILD, ROOT, step

# What Blender as a module, which draws through EGL and Mesa's software renderer, expects of Linux, and the Debian or
# Ubuntu packages that bring it. The engine's own wheels bring all that they need.
BLENDER_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libEGL_mesa.so.0": "libegl-mesa0",
    "libGL.so.1": "libgl1",
    "libXi.so.6": "libxi6",
    "libXfixes.so.3": "libxfixes3",
    "libXrender.so.1": "libxrender1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
}
BLENDER_PYTHON = (3, 11)  # of Blender as a module, 4.2 to 5.0


@dataclass(frozen=True)
class Environment:
    """A virtual environment; ``folder`` may not exist yet."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        return self.bin / ("python.exe" if os.name == "nt" else "python")

    @property
    def _installed(self) -> Path:
        return self.folder / "installed.json"  # the requirements that the environment was last made for

    def install(self, wanted: list[str], interpreter: str | Path = sys.executable, lock: str = "engine") -> None:
        """Make the environment and install what it lacks; does nothing where all of it was installed before.

        Raises:
            SystemExit: it cannot be installed, or the index offers what the lock of this name does not have.
        """
        usable = self.python.exists()
        if usable and self._installed.exists() and set(wanted) <= set(json.loads(self._installed.read_text("utf-8"))):
            return
        if not usable:
            step(f"Making the virtual environment {self.folder}")
            if shell.run(interpreter, "-m", "venv", "--clear", self.folder):
                raise SystemExit(
                    "Python's venv module does not work. On Debian and Ubuntu: sudo apt-get install python3-venv"
                )
        step(f"Installing {len(wanted)} pinned packages and what they need")
        self._installed.unlink(missing_ok=True)
        self._install_locked(wanted, locks.read(lock))
        self._installed.write_text(json.dumps(wanted, indent=0), "utf-8")

    def _install_locked(self, wanted: list[str], lock: Lock) -> None:
        """First only find out what is needed here, then install exactly that, every file compared with the lock."""
        pip = (self.python, "-m", "pip", "install", "--disable-pip-version-check", "--only-binary=:all:")
        failed = "The dependencies could not be installed; pip's message above says why."
        with tempfile.TemporaryDirectory() as folder:
            report, constraints, exact = (Path(folder, name) for name in ("report.json", "lock.txt", "exact.txt"))
            constraints.write_text("\n".join(lock.lines) + "\n", "utf-8")
            words = ("--quiet", "--dry-run", "--report", report, "--constraint", constraints)
            if shell.run(*pip, *words, *wanted):
                raise SystemExit(failed)
            needed = [entry["metadata"] for entry in json.loads(report.read_text("utf-8"))["install"]]
            lines = [lock.pinned(entry["name"], entry["version"]) for entry in needed]
            exact.write_text("\n".join(lines) + "\n", "utf-8")
            if lines and shell.run(*pip, "--no-deps", "--require-hashes", "--requirement", exact):
                raise SystemExit(failed)


ENGINE = Environment(ROOT / ".venv")


def project() -> dict:
    import tomllib  # here, so that an older Python comes as far as the message about its version

    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def pins(*groups: str) -> list[str]:
    """The pinned requirements of ``pyproject.toml``: of ``"engine"`` itself or of its optional groups."""
    table = project()
    return [
        pin for g in groups for pin in (table["dependencies"] if g == "engine" else table["optional-dependencies"][g])
    ]


def pin(name: str, group: str = "engine") -> str:
    """The pinned requirement of one package, such as ``"pip==26.3"``."""
    return next(pin for pin in pins(group) if pin.startswith(f"{name}=="))


def blender(group: str) -> Environment | None:
    """An environment with Blender as a module, the version that an optional group pins; None without its Python."""
    if (interpreter := blender_python()) is None:
        return None
    environment = Environment(BUILD / pin("bpy", group).replace("==", "-"))
    environment.install(pins(group, "addon"), interpreter, group)
    return environment


def blender_python() -> str | None:
    """A Python of Blender's version: this one, one on the PATH, or one that Windows' launcher knows."""
    if sys.version_info[:2] == BLENDER_PYTHON:
        return sys.executable
    version = "{}.{}".format(*BLENDER_PYTHON)
    if os.name == "nt" and (launcher := shutil.which("py")):
        command = [launcher, f"-{version}", "-c", "import sys; print(sys.executable)"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return found.stdout.strip() if found.returncode == 0 else None
    return shutil.which(f"python{version}")


def platform_name() -> str:
    """What Blender calls this machine's platform, such as ``"linux-x64"``; the extension may not be built for it."""
    system = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}.get(platform.system(), platform.system())
    machine = {"x86_64": "x64", "amd64": "x64"}.get(platform.machine().lower(), platform.machine().lower())
    return f"{system}-{machine}"


def check_libraries(libraries: dict[str, str]) -> None:
    """Stop, with the command that helps, where Linux lacks a system library; in CI, as root, install it."""
    if not (missing := missing_libraries(libraries)):
        return
    apt = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        step(f"Installing {', '.join(missing)}")
        if not shell.run("apt-get", "update") and not shell.run(*apt) and not missing_libraries(libraries):
            return
    raise SystemExit(
        f"System libraries are missing. On Debian and Ubuntu they come with: sudo apt-get install {' '.join(missing)}"
    )


def missing_libraries(libraries: dict[str, str]) -> list[str]:
    """The Debian packages of libraries that cannot be loaded."""
    if not sys.platform.startswith("linux"):
        return []
    packages = []
    for library, package in libraries.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            packages.append(package)
    return packages
