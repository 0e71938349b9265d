"""Chromium without a window, drawing by software, with viewers that are not ours.

The viewers and the browser's driver come from npm, as ``package-lock.json`` pins them, into a folder of their own.
Chromium is the machine's. It reaches nothing but a server on loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = ("chromium", "google-chrome", "google-chrome-stable")  # Debian's; GitHub's
NODE = 20


def why_not() -> str:
    """Why no viewer can be opened on this machine; empty where they can."""
    if not sys.platform.startswith("linux"):
        return "this needs Linux."
    if not _node_version() >= NODE or not shutil.which("npm"):
        return f"node {NODE} or newer, or npm, is missing. On Debian and Ubuntu: apt-get install nodejs npm"
    if not _chromium() and not (os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get")):
        return "Chromium is missing. On Debian: apt-get install chromium"
    return ""


@dataclass(frozen=True)
class Job:
    """What one page of the browser does.

    Attributes:
        page: name of a module in ``pages``. width, height: of the page, pixels.
        words: what that module reads, plain JSON.
        patience: seconds until it is given up.
    """

    page: str
    words: dict[str, Any]
    width: int = 512
    height: int = 512
    patience: float = 300.0


@dataclass(frozen=True)
class Answer:
    """What the page handed back; ``lines`` are what it wrote to its console, ``error`` why it failed."""

    answer: Any = None
    error: str = ""
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Browser:
    """Viewers in a folder.

    Args:
        root: the folder; need not exist before :meth:`set_up`.
    """

    def __init__(self, root: Path):
        self.root = root.absolute()
        self._lock = self.root / "package-lock.json"

    def set_up(self) -> None:
        """Install what the lock names; does nothing where that is done already."""
        if not _chromium():
            subprocess.run(["apt-get", "-qq", "update"], check=True)
            subprocess.run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "chromium"], check=True)
        wanted = (HERE / "package-lock.json").read_bytes()
        if self._lock.exists() and self._lock.read_bytes() == wanted:
            return
        self.root.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", self.root)
        self._lock.write_bytes(wanted)
        words = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        if subprocess.run(["npm", *words], cwd=self.root, check=False).returncode:
            self._lock.unlink()
            raise SystemExit("The viewers could not be installed; npm's message above says why.")

    def versions(self) -> dict[str, str]:
        """The pinned version of each package, and Chromium's own name for itself as ``chromium``."""
        pins = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
        found = subprocess.run([_chromium(), "--version"], capture_output=True, text=True, check=True)
        return pins | {"chromium": found.stdout.split()[1]}

    def run(self, jobs: Sequence[Job], shared: Path) -> list[Answer]:
        """Do jobs one after the other in one browser.

        Args:
            shared: the folder that pages see as ``/shared``, and where their pictures go.
        """
        asked = {
            "chromium": _chromium(),
            "modules": str(self.root),
            "shared": str(shared),
            "jobs": [asdict(job) | job.words for job in jobs],
        }
        command = ["node", str(HERE / "browser.mjs")]
        ended = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
        if ended.returncode:
            raise RuntimeError(f"The browser failed:\n{ended.stderr}")
        return [Answer(**answer) for answer in json.loads(ended.stdout)]


def _chromium() -> str:
    return next((found for name in NAMES if (found := shutil.which(name))), "")


def _node_version() -> int:
    """Node's major version, 0 where there is none."""
    if not shutil.which("node"):
        return 0
    found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return int(found.stdout.strip().removeprefix("v").split(".")[0] or 0)
