"""A day in the engine's life, watched by strace where no network is: which look-ups, connections and files there were.

    python -m tests.engine.silence SECONDS      as root on Linux, with strace; prints what was seen

Its own network namespace holds the loopback alone, so that an attempt to go elsewhere fails at once and is counted.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine import assets
from tests.engine.server.engines import ROOT, running

KERNELS = ROOT / "build" / "tests" / "numba"  # compiled once for all tests
CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
# What a process may touch that is nobody's file.
NO_FILES = ("/dev/", "/proc/", "/sys/", "pipe:", "socket:", "anon_inode:", "/memfd:")
# Who opens one of these wants to know a name's address.
RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve", "/var/run/avahi-daemon")
LOOPBACK_UP = (
    "import fcntl, socket, struct, os, sys\n"
    "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n"
    "    fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', b'lo', 0x1 | 0x40))\n"  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
    "os.execvp(sys.argv[1], sys.argv[1:])\n"
)


@dataclass
class Seen:
    """What the processes did, one line each.

    Attributes:
        lookups: attempts to resolve a name. connections: to any other address than loopback. files: written elsewhere
            than in the folders that it was given.
    """

    lookups: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def why_not() -> str:
    """Why nothing can be watched here; empty where it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "this needs Linux and root"
    if shutil.which("strace") is None:
        return "strace is missing. On Debian and Ubuntu: apt-get install strace"
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        return "this machine allows no network namespace of one's own"
    return ""


def watch(seconds: float, folder: Path) -> Seen:
    """Let the engine live for so long in an empty ``folder``, its home; raises where it does not do its work."""
    home, log = folder / "home", folder / "strace.log"
    home.mkdir()
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "TMPDIR": str(folder)}
    own |= {"NUMBA_CACHE_DIR": str(KERNELS), "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "DO_NOT"))}
    # One file a thread: in a common one, calls at the same time are cut in pieces.
    strace = ["strace", "-ff", "-y", "--seccomp-bpf", "-qq", "-s", "300", "-e", f"trace={CALLS}", "-o", str(log)]
    live = [sys.executable, "-m", "tests.engine.silence", "live", str(seconds), str(folder)]
    command = ["unshare", "--net", sys.executable, "-c", LOOPBACK_UP, *strace, *live]
    subprocess.run(command, cwd=ROOT, env=environment | own, check=True)
    logs = "".join(path.read_text("utf-8", errors="replace") for path in sorted(folder.glob(f"{log.name}.*")))
    seen = read(logs, (str(folder), str(KERNELS)))
    seen.files += [f"left in the home folder: {path}" for path in home.rglob("*")]
    return seen


def read(log: str, folders: tuple[str, ...]) -> Seen:
    """What a log of strace's says; files below ``folders`` may be written."""
    seen = Seen()
    for line in log.splitlines():
        call = re.sub(r"^\d+ +", "", line)
        if any(f'"{name}' in call for name in RESOLVERS):
            seen.lookups.append(call)
        elif address := re.search(r'sin_addr=inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', call):
            if not (address[1] or address[2]).startswith(("127.", "::1", "::ffff:127.")):
                (seen.lookups if "htons(53)" in call else seen.connections).append(call)
        elif re.match(r"(open|openat|creat|mkdir|mkdirat|rename)", call) and " = -1" not in call:
            if not call.startswith("open") or re.search(r"O_(WRONLY|RDWR|CREAT)", call):
                where = _path(call)
                if not where.startswith((*NO_FILES, *folders)):
                    seen.files.append(call)
    return seen


def _path(call: str) -> str:
    """The last path that a call names, made absolute by the folder that it starts from."""
    arguments = call[: call.rfind(") = ")]
    name = re.findall(r'"((?:[^"\\]|\\.)*)"', arguments)[-1]
    base = re.search(r"AT_FDCWD<([^>]*)>", call) or re.search(r"\(\d+<([^>]*)>", call)
    return os.path.normpath(os.path.join(base[1] if base else "/", name))


def live(seconds: float, folder: Path) -> None:
    """Serve photos, heads and pictures, and run the command line, until the time is over; each at least once."""
    until = time.monotonic() + seconds
    photo = assets.path("samples/astronaut.png").read_bytes()
    rounds = 0
    with running() as engine:
        while not rounds or time.monotonic() < until:
            assert engine.request("POST", "/photos/check", files={"photo": ("a.png", photo)}).json()["usable"]
            system = ("surface", "match", "uika")[rounds % 3]
            job = engine.create(("a.png", photo), refine_seconds="1", count="20000", system=system)
            assert engine.finished(job)["state"] == "done"
            avatar = engine.request("GET", f"/jobs/{job}/avatar").content
            assert engine.request("PUT", "/heads/a", data=avatar).ok
            rounds += 1
        output = str(folder / "head.npz")
        words = ("reconstruct", str(assets.path("samples/astronaut.png")), "-o", output, "--refine", "0")
        subprocess.run([sys.executable, "-m", "engine", *words], cwd=ROOT, check=True, capture_output=True)


if __name__ == "__main__":
    if sys.argv[1] == "live":
        live(float(sys.argv[2]), Path(sys.argv[3]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            found = watch(float(sys.argv[1]), Path(temporary))
        print("\n".join([*found.lookups, *found.connections, *found.files]))
        print(f"{len(found.lookups)} look-ups, {len(found.connections)} connections, {len(found.files)} files")
