"""A real Blender with its window, on a Linux machine without screen or graphics card.

Debian's Blender is set up in a folder of its own (about 1 minute, 1.5 GB, root needed) and runs in there, drawn by
Mesa's software renderer on a virtual screen. Every run has its own mounts and process numbers, which vanish with it:
nothing stays mounted, nothing keeps running, and the folder can simply be deleted.

Inside, the folder that a run shares is ``/share``; Blender's user files are in ``/share/user``.

    python3 -m tests.gui.real_blender FOLDER            set it up
    python3 -m tests.gui.real_blender FOLDER COMMAND…   and run a command inside
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT_VARIABLE = "GAUSSIAN_HEADS_REAL_BLENDER"  # tells the tests where it is
ZIP_VARIABLE = "GAUSSIAN_HEADS_ZIP"  # and which zip to install
SUITE = "sid"  # Blender 5.2; "trixie" has 4.3
PACKAGES = (
    # Debian's Blender does not say that it needs these.
    *("blender", "python3-numpy", "python3-requests", "python3-zstandard", "python3-cattr"),
    *("xvfb", "openbox", "xdotool", "imagemagick", "x11-utils", "fonts-dejavu-core"),
    *("tesseract-ocr", "tesseract-ocr-eng"),
    *("libgl1", "libegl1", "libgles2", "libgl1-mesa-dri", "libglx-mesa0", "libegl-mesa0", "mesa-vulkan-drivers"),
)
# A frozen mirror's list of packages may be past its date.
APT = "apt-get -qq -o Acquire::Check-Valid-Until=false -o Dpkg::Use-Pty=0"
SET_UP = f"""
set -e
[ -e "$0/.bootstrapped" ] || {{ debootstrap --variant=minbase {SUITE} "$0" >/dev/null; touch "$0/.bootstrapped"; }}
cp -L /etc/resolv.conf "$0/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' >"$0/usr/sbin/policy-rc.d"
chmod +x "$0/usr/sbin/policy-rc.d"
mount -t proc proc "$0/proc"
chroot "$0" {APT} update
chroot "$0" {APT} install -y --no-install-recommends {" ".join(PACKAGES)} >/dev/null
chroot "$0" apt-get clean
"""
# $0: the folder; then pairs of a folder to show and where inside, "--", and the command.
ENTER = """
set -e
mount -t proc proc "$0/proc"
mount --bind /sys "$0/sys"
mount -t tmpfs shm "$0/dev/shm"
while [ "$1" != -- ]; do mkdir -p "$0$2"; mount --bind "$1" "$0$2"; shift 2; done
shift
exec chroot "$0" "$@"
"""
WINDOW = """
Xvfb -displayfd 3 -screen 0 ${SIZE}x24 +extension GLX -noreset 3>/share/display 2>/share/xvfb.log &
for i in $(seq 100); do [ -s /share/display ] && break; sleep 0.1; done
export DISPLAY=:$(cat /share/display)
openbox >/share/openbox.log 2>&1 &
exec blender --gpu-backend opengl --window-geometry 0 0 ${SIZE/x/ } "$@"
"""
VARIABLES = {
    "BLENDER_USER_RESOURCES": "/share/user",
    "HOME": "/share/home",
    "LANG": "C.UTF-8",
    "LIBGL_ALWAYS_SOFTWARE": "1",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}


def why_not() -> str:
    """Why a real Blender cannot be set up on this machine; empty where it can."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return "this needs 64-bit Linux on x86."
    if os.geteuid() != 0:
        return "this needs root (chroot, mounts)."
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False).returncode:
        return "this machine allows no mounts of one's own."
    if not shutil.which("debootstrap") and not (os.environ.get("CI") and shutil.which("apt-get")):
        return "debootstrap is missing. On Debian and Ubuntu: apt-get install debootstrap"
    return ""


class RealBlender:
    """A Blender in a folder.

    Args:
        root: the folder; need not exist before :meth:`set_up`.
    """

    def __init__(self, root: Path):
        self.root = root.absolute()
        self._done = self.root / ".installed"

    def set_up(self) -> None:
        """Does nothing where this set-up is done already."""
        if self._done.exists() and self._done.read_text("utf-8") == SET_UP:
            return
        if not shutil.which("debootstrap"):
            subprocess.run(["apt-get", "-qq", "update"], check=True)
            subprocess.run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "debootstrap"], check=True)
        if not (self.root / ".bootstrapped").exists():
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.parent.mkdir(parents=True, exist_ok=True)
        environment = VARIABLES | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        command = ["unshare", "--mount", "bash", "-c", SET_UP, str(self.root)]
        subprocess.run(command, env=os.environ | environment, check=True)
        self._done.write_text(SET_UP, "utf-8")

    def python(self) -> str:
        """The version of Blender's Python, such as ``"3.14"``."""
        script = "import sys; print('{}.{}'.format(*sys.version_info))"
        return self.run("python3", "-c", script, stdout=subprocess.PIPE).stdout.strip()

    def command(
        self, *words: str | Path, share: Path, show: dict[Path, str] | None = None, network: bool = True
    ) -> list[str]:
        """The command line that runs ``words`` inside; to be run with :data:`VARIABLES` as its environment.

        Args:
            share: this folder is ``/share`` inside.
            show: further folders, and where they are inside.
            network: False cuts every connection, those within this computer too.
        """
        binds = [str(part) for pair in ({share: "/share"} | (show or {})).items() for part in pair]
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *["--net"] * (not network)]
        return [*namespaces, "bash", "-c", ENTER, str(self.root), *binds, "--", *map(str, words)]

    def run(
        self,
        *words: str | Path,
        share: Path | None = None,
        show: dict[Path, str] | None = None,
        network: bool = True,
        **options,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for it; ``options`` go to ``subprocess.run``, ``env`` on top of our own.

        Raises:
            subprocess.CalledProcessError: it failed, unless ``check=False``.
        """
        options = {"check": True, "text": True} | options | {"env": VARIABLES | options.get("env", {})}
        with tempfile.TemporaryDirectory() as empty:
            command = self.command(*words, share=share or Path(empty), show=show, network=network)
            return subprocess.run(command, **options)


class Window:
    """A Blender with its window; a context manager, that closes it however the block ends.

    Args:
        blender: where it is set up.
        share: folder that is ``/share`` inside; Blender's output goes to ``blender.log`` in it.
        arguments: of Blender, such as ``("--python", "/share/script.py")``.
        size: of the screen, in pixels.
        show: further folders, and where they are inside.
    """

    def __init__(
        self,
        blender: RealBlender,
        share: Path,
        arguments: Sequence[str] = (),
        size: tuple[int, int] = (1600, 1000),
        show: dict[Path, str] | None = None,
    ):
        self._root = blender.root
        self._share = share
        self._log = (share / "blender.log").open("wb")
        (share / "display").unlink(missing_ok=True)
        words = ("bash", "-c", WINDOW, "bash", *arguments)
        self._process = subprocess.Popen(
            blender.command(*words, share=share, show=show),
            env=VARIABLES | {"SIZE": f"{size[0]}x{size[1]}"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Window:
        self.wait_for(lambda: self._do("xdotool search --onlyvisible --class blender", check=False) == 0, 60)
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()  # and with it, everything that it started
        self._process.wait()
        self._log.close()

    @property
    def log(self) -> str:
        """What Blender has printed."""
        return (self._share / "blender.log").read_text("utf-8", errors="replace")

    def steps(self, script: str) -> None:
        """Run shell commands on the window's screen, such as ``xdotool key n``; the first that fails ends them."""
        self._do(f"set -e\n{script}")

    def screenshot(self, path: Path) -> None:
        """Save the whole screen as PNG."""
        self._do("import -window root png:-", stdout=path)

    def wait_for(self, is_true, seconds: float) -> None:
        """Wait until ``is_true()``, asked twenty times a second.

        Raises:
            AssertionError: Blender ended, or the time is over; with the end of what Blender printed.
        """
        end = time.monotonic() + seconds
        while not is_true():
            assert self._process.poll() is None, f"Blender ended:\n{self.log[-3000:]}"
            assert time.monotonic() < end, f"Nothing came in {seconds} s. Blender said:\n{self.log[-3000:]}"
            time.sleep(0.05)

    def _do(self, script: str, check: bool = True, stdout: Path | None = None) -> int:
        """Outside of Blender's own mounts: the X server's socket is a file, so none are needed."""
        display = self._share / "display"
        environment = VARIABLES | {"DISPLAY": f":{display.read_text().strip()}" if display.exists() else ""}
        command = ["chroot", str(self._root), "bash", "-c", script]
        result = subprocess.run(command, env=environment, capture_output=True, check=False)
        if check and result.returncode:
            raise AssertionError(f"{script}\nfailed: {result.stderr.decode(errors='replace')}")
        if stdout is not None:
            stdout.write_bytes(result.stdout)
        return result.returncode


if __name__ == "__main__":
    blender = RealBlender(Path(sys.argv[1]))
    blender.set_up()
    if sys.argv[2:]:
        sys.exit(blender.run(*sys.argv[2:], check=False).returncode)
