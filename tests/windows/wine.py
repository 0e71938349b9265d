"""Windows' Python and Blender's Windows module on a Linux machine: genuine CPython 3.11 and ``bpy`` under Wine.

It is set up in a folder of its own (two to three minutes, 3 GB, root and the network needed). Every run has its own
mounts, process numbers and screen, which vanish with it: nothing stays mounted, nothing keeps running, and the folder
can simply be deleted.

Windows programs see this machine's files on drive Z. Python stands in ``blender`` as Blender lays it out; the module
and what the tests need besides are in ``site``, which is for ``PYTHONPATH``. Nothing of it is shipped.

    python3 -m tests.windows.wine FOLDER                    set it up
    python3 -m tests.windows.wine FOLDER PROGRAM ARGS…      and run a Windows program, such as python.exe
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from building.environments import BLENDER_PYTHON, ENGINE, pin, pins

ROOT_VARIABLE = "GAUSSIAN_HEADS_WINDOWS"  # tells the tests where it is
ZIP_VARIABLE = "GAUSSIAN_HEADS_WINDOWS_ZIP"  # and which zip to unpack
SOURCES = Path(__file__).parent
SUITE = "trixie"  # Wine 10
PACKAGES = ("wine64", "gcc-mingw-w64-x86-64-win32", "xvfb", "libgl1", "libgl1-mesa-dri")
# Its wheel carries python311.dll and the standard library's extension modules; the tests need nothing else of it.
CPYTHON = "panda3d==1.10.16"
RUNTIME = "msvc-runtime==14.44.35112"  # Microsoft's, as its redistributable installs it
MODULES = (*pins("blender-45", "addon"), "colorama==0.4.6")  # pytest needs the last one on Windows

# A frozen mirror's list of packages may be past its date.
APT = "apt-get -qq -o Acquire::Check-Valid-Until=false -o Dpkg::Use-Pty=0"
BOOTSTRAP = f"""
set -e
debootstrap --variant=minbase {SUITE} "$0" >/dev/null
mkdir -p "$0/host"
printf '#!/bin/sh\\nexit 101\\n' >"$0/usr/sbin/policy-rc.d"
chmod +x "$0/usr/sbin/policy-rc.d"
cp -L /etc/resolv.conf "$0/etc/resolv.conf"
mount -t proc proc "$0/proc"
chroot "$0" {APT} update
chroot "$0" {APT} install -y --no-install-recommends {" ".join(PACKAGES)} >/dev/null
chroot "$0" apt-get clean
"""
TEMPORARY = "users/root/AppData/Local/Temp"  # on drive C
# $0: the folder, $1: the folder for temporary files, then a command. Wine counts processors in /sys.
ENTER = f"""
set -e
mount -t proc proc "$0/proc"
mount --bind /sys "$0/sys"
mount -t tmpfs shm "$0/dev/shm"
mount -t tmpfs tmp "$0/tmp"
mount --rbind / "$0/host"
temporary="$0/prefix/drive_c/{TEMPORARY}"
[ ! -d "$temporary" ] || mount --bind "$1" "$temporary"
shift
chroot "$0" "$@"  # no exec: the first process has to look after what others leave behind
"""
# A Windows program and its arguments. Blender draws with OpenGL, which needs a screen.
START = """
Xvfb -displayfd 3 -screen 0 1280x1024x24 +extension GLX -noreset 3>/tmp/display 2>/dev/null &
for i in $(seq 100); do [ -s /tmp/display ] && break; sleep 0.1; done
DISPLAY=:$(cat /tmp/display) wine64 "$@"
"""
RUNTIMES = ("concrt140", "msvcp140", "msvcp140_1", "msvcp140_2", "vcruntime140", "vcruntime140_1", "vcomp140")
VARIABLES = {
    "HOME": "/root",
    "KMP_AFFINITY": "disabled",  # Wine has no processor masks by NUMA node
    "LANG": "C.UTF-8",  # or Wine refuses names that are not ASCII
    "LIBGL_ALWAYS_SOFTWARE": "1",
    "PATH": "/usr/bin:/bin:/usr/lib/wine",
    "WINEDEBUG": "-all",
    "WINEDLLOVERRIDES": f"mscoree,mshtml,winedbg.exe=;ucrtbase=n;{','.join(RUNTIMES)}=n,b",
    "WINEPREFIX": "/prefix",
    "XDG_RUNTIME_DIR": "/tmp",
}
# Modules of the stable ABI need python3.dll, which Blender finds beside its program.
CUSTOMIZE = r"""
import ctypes, pathlib
ctypes.WinDLL(str(pathlib.Path(__file__).parents[1] / "blender" / "python3.dll"))
"""


def why_not() -> str:
    """Why Windows' Python cannot be set up on this machine; empty where it can."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return "this needs 64-bit Linux on x86."
    if os.geteuid() != 0:
        return "this needs root (chroot, mounts)."
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False).returncode:
        return "this machine allows no mounts of one's own."
    if sys.version_info[:2] != BLENDER_PYTHON and not shutil.which("python3.11"):
        return "python3.11 is not on the PATH; its standard library is Windows' too."
    if not shutil.which("debootstrap") and not (os.environ.get("CI") and shutil.which("apt-get")):
        return "debootstrap is missing. On Debian and Ubuntu: apt-get install debootstrap"
    return ""


class WindowsPython:
    """Windows' Python in a folder.

    Args:
        root: the folder; need not exist before :meth:`set_up`.
        temporary: where programs have their temporary files; on Windows' own drive by default.

    Attributes:
        blender: laid out as Blender's own folder: ``python3.dll`` is here, and not beside the interpreter.
        python: the interpreter.
        site: folder with ``bpy``, pytest and what the add-on's tests need.
        drive_c: Windows' own drive; it keeps what programs write there, while the registry forgets at the end of a run.
    """

    def __init__(self, root: Path, temporary: Path | None = None):
        self.root = root.absolute()
        self.blender = self.root / "blender"
        self.python = self.blender / "4.5" / "python" / "bin" / "python.exe"
        self.site = self.root / "site"
        self.drive_c = self.root / "wine" / "prefix" / "drive_c"
        self._temporary = temporary.absolute() if temporary else self.drive_c / TEMPORARY
        self._runtime = self.root / "runtime"  # Microsoft's C++ runtime

    def set_up(self) -> None:
        """Does nothing where this set-up is done already; what failed or was interrupted is begun anew."""
        self.root.mkdir(parents=True, exist_ok=True)
        wine = self._stage("wine", BOOTSTRAP, self._bootstrap)
        python = self._stage("blender", CPYTHON + RUNTIME + _text("python.c"), self._lay_out_python, wine)
        self._stage("prefix", _text("complex.c"), self._boot_wine, python)
        self._stage("site", "\n".join((*MODULES, CUSTOMIZE)), self._install_modules, python)

    @staticmethod
    def path(path: Path) -> str:
        """A path of this machine as Windows programs see it, such as ``Z:\\folder\\file``."""
        return "Z:" + str(path.absolute()).replace("/", "\\")

    def here(self, path: str) -> Path:
        """Where this machine has a file of Windows', such as ``C:\\users\\file``."""
        drive, below = path[:2].upper(), path[2:].lstrip("\\").replace("\\", "/")
        if drive == "C:" and below.startswith(TEMPORARY):
            return self._temporary / below.removeprefix(TEMPORARY).lstrip("/")
        return {"C:": self.drive_c, "Z:": Path("/")}[drive] / below

    def command(
        self,
        program: str | Path,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """The command line that runs a Windows program; paths among its words become Windows' own.

        Args:
            program: a path, or a name of Windows' own such as ``cmd``.
            cwd: folder of this machine to run in; the root by default.
            env: on top of Windows' own environment, of which nothing is this process's.
        """
        words = [self.path(word) if isinstance(word, Path) else word for word in (program, *arguments)]
        return self._enter("bash", "-c", START, "bash", *words, cwd=f"/host{(cwd or self.root).absolute()}", env=env)

    def run(
        self,
        program: str | Path,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        **options,
    ) -> subprocess.CompletedProcess[str]:
        """Run a Windows program and wait for it; ``options`` go to ``subprocess.run``, the rest to :meth:`command`.

        Raises:
            subprocess.CalledProcessError: it failed, unless ``check=False``.
        """
        return _run(*self.command(program, *arguments, cwd=cwd, env=env), **options)

    def _stage(self, name: str, key: str, work: Callable[[], None], *needed: str) -> str:
        """Does a part of the set-up unless it was done from the same sources; returns what tells it from others."""
        done = self.root / f".{name}"
        key = "\n".join((key, *needed))
        if not done.exists() or done.read_text("utf-8") != key:
            done.unlink(missing_ok=True)
            work()
            done.write_text(key, "utf-8")
        return key

    def _enter(self, *words: str, cwd: str = "/", env: Mapping[str, str] | None = None) -> list[str]:
        variables = [f"{key}={value}" for key, value in (VARIABLES | dict(env or {})).items()]
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        inside = ["env", "-i", "-C", cwd, *variables, *words]
        return [*namespaces, "bash", "-c", ENTER, str(self.root / "wine"), str(self._temporary), *inside]

    def _tool(self, name: str, *words: str | Path) -> str:
        """Run a tool of the compiler for Windows and return what it says."""
        inside = [f"/host{word}" if isinstance(word, Path) else word for word in words]
        return _run(*self._enter(f"x86_64-w64-mingw32-{name}", *inside), stdout=subprocess.PIPE).stdout

    def _bootstrap(self) -> None:
        if not shutil.which("debootstrap"):
            _run("apt-get", "-qq", "update")
            _run("apt-get", "-qq", "install", "--yes", "--no-install-recommends", "debootstrap")
        shutil.rmtree(self.root / "wine", ignore_errors=True)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        _run("unshare", "--mount", "bash", "-c", BOOTSTRAP, self.root / "wine", env=environment)

    def _lay_out_python(self) -> None:
        shutil.rmtree(self.blender, ignore_errors=True)
        home, binaries = self.python.parents[1], self.python.parent
        binaries.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=self.root) as folder:
            work = Path(folder)
            _pip("download", "--no-deps", "--dest", work, CPYTHON, RUNTIME)
            _unzip(next(work.glob("panda3d-*")), "deploy_libs/", home / "DLLs")
            _unzip(next(work.glob("msvc_runtime-*")), "msvc_runtime-", self._runtime)
            library = (home / "DLLs" / "python311.dll").rename(binaries / "python311.dll")
            for name in ("vcruntime140.dll", "vcruntime140_1.dll"):  # what CPython itself brings
                shutil.copy(self._runtime / name, binaries)
            _copy_standard_library(home / "lib")
            self._tool("gcc", "-municode", SOURCES / "python.c", library, "-o", self.python)
            shutil.copy(library, self.blender)
            forwards = {name: f"python311.{name}" for name in self._exports(library)}
            definition = _definition(work / "python3.def", "python3.dll", forwards)
            no_code = ("-nostdlib", "-Wl,--entry=0", "-x", "c", "/dev/null", "-x", "none")
            self._tool("gcc", "-shared", *no_code, definition, "-o", self.blender / "python3.dll")

    def _boot_wine(self) -> None:
        """A Windows with Microsoft's C++ runtime, drive Z, and complex numbers in its C runtime."""
        shutil.rmtree(self.drive_c.parent, ignore_errors=True)
        # Only once the server has ended, the registry is on the disk.
        boot = "wine64 wineboot --init && wineserver --wait"
        _run(*self._enter("bash", "-c", boot, env={"WINEDLLOVERRIDES": "mscoree,mshtml="}), stdout=subprocess.DEVNULL)
        drive = self.drive_c.parent / "dosdevices" / "z:"
        drive.unlink()
        drive.symlink_to("/host")
        system = self.drive_c / "windows" / "system32"
        for library in self._runtime.iterdir():
            shutil.copy(library, system)
        (wine_own,) = (self.root / "wine" / "usr" / "lib").rglob("x86_64-windows/ucrtbase.dll")
        shutil.copy(wine_own, system / "ucrtbas0.dll")
        with tempfile.TemporaryDirectory(dir=self.root) as folder:
            work = Path(folder)
            self._tool("gcc", "-c", "-O1", SOURCES / "complex.c", "-o", work / "complex.o")
            symbols = self._tool("nm", "--extern-only", "--defined-only", work / "complex.o")
            ours = {name: f"m_{name}" for name in re.findall(r" T m_(\w+)$", symbols, re.MULTILINE)}
            forwards = {name: f"ucrtbas0.{name}" for name in self._exports(wine_own)}
            definition = _definition(work / "complex.def", "ucrtbase.dll", forwards | ours)
            words = ("-shared", "-static-libgcc", work / "complex.o", definition, "-o", work / "ucrtbase.dll")
            self._tool("gcc", *words)
            shutil.copy(work / "ucrtbase.dll", system)

    def _install_modules(self) -> None:
        shutil.rmtree(self.site, ignore_errors=True)
        _pip("install", "--no-warn-conflicts", "--target", self.site, *MODULES)
        (self.site / "sitecustomize.py").write_text(CUSTOMIZE, "utf-8")

    def _exports(self, library: Path) -> list[str]:
        """The names that a DLL exports."""
        said = self._tool("objdump", "--private-headers", library)
        table = said.partition("[Ordinal/Name Pointer] Table")[2].partition("\n\n")[0]
        return re.findall(r"^\s*\[ *\d+\].* (\S+)$", table, re.MULTILINE)


def _run(*words: str | Path, **options) -> subprocess.CompletedProcess[str]:
    options = {"check": True, "text": True, "stdin": subprocess.DEVNULL} | options
    return subprocess.run([str(word) for word in words], **options)


def _pip(command: str, *words: str | Path) -> None:
    """Get packages for Windows' Python, with the engine's pip."""
    ENGINE.install([pin("pip")])
    target = ("--platform", "win_amd64", "--python-version", ".".join(map(str, BLENDER_PYTHON)))
    options = ("--quiet", "--disable-pip-version-check", "--only-binary", ":all:", *target)
    _run(ENGINE.python, "-m", "pip", command, *options, *words)


def _unzip(archive: Path, start: str, target: Path) -> None:
    """Take the libraries whose names in a wheel begin so, without their folders."""
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as wheel:
        for name in wheel.namelist():
            if name.startswith(start) and name.endswith((".dll", ".pyd")):
                (target / Path(name).name).write_bytes(wheel.read(name))


def _copy_standard_library(target: Path) -> None:
    """The part in Python is the same on all systems."""
    python = sys.executable if sys.version_info[:2] == BLENDER_PYTHON else "python3.11"
    words = (python, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))")
    source = Path(_run(*words, stdout=subprocess.PIPE).stdout.strip())
    others = shutil.ignore_patterns("site-packages", "dist-packages", "lib-dynload", "test", "config-*")
    shutil.copytree(source, target, ignore=others)
    (target / "site-packages").mkdir()


def _definition(path: Path, library: str, exports: Mapping[str, str]) -> Path:
    """Writes what a library exports, by name and where it is."""
    rows = "\n".join(f'"{name}" = "{where}"' for name, where in exports.items())
    path.write_text(f'LIBRARY "{library}"\nEXPORTS\n{rows}\n', "utf-8")
    return path


def _text(name: str) -> str:
    return (SOURCES / name).read_text("utf-8")


if __name__ == "__main__":
    windows = WindowsPython(Path(sys.argv[1]))
    windows.set_up()
    if program := sys.argv[2:3]:
        name = windows.python if program == ["python.exe"] else program[0]
        sys.exit(windows.run(name, *sys.argv[3:], cwd=Path.cwd(), stdin=None, check=False).returncode)
