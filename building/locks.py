"""What packages may be: exact versions of everything that is installed, and the sha256 of each of their files.

``locks/NAME.txt`` are pip's requirements with hashes, for every platform at once. An index that answers with another
file, or with a package that is not in them, is not believed. ``python3 build.py lock`` makes them anew.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from building import shell
from building.shell import ROOT

FOLDER = ROOT / "locks"
PLATFORMS = ("linux", "windows", "macos")  # as uv calls them
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
REMEDY = "Look at what changed there; `python3 build.py lock` takes the index at its word."


@dataclass(frozen=True)
class Lock:
    """A lock's packages.

    Attributes:
        lines: ``name==version ; marker`` of all of them, as pip takes constraints.
        hashes: sha256 of the files of a release, by ``name==version``.
    """

    lines: tuple[str, ...]
    hashes: dict[str, frozenset[str]]

    def pinned(self, name: str, version: str) -> str:
        """A requirement that takes no other file than the lock's. A local build is one of the release's files.

        Raises:
            SystemExit: the lock does not have the release.
        """
        known = self.of(name, version)
        if not known:
            raise SystemExit(f"The package index wants {name} {version} installed, which is not in locks/. {REMEDY}")
        return " ".join((f"{name}=={version}", *(f"--hash=sha256:{digest}" for digest in sorted(known))))

    def of(self, name: str, version: str) -> frozenset[str]:
        """The files of a release; none where it is not known."""
        return self.hashes.get(f"{normalised(name)}=={version.partition('+')[0]}", frozenset())


def read(name: str) -> Lock:
    """The lock ``locks/NAME.txt``."""
    lines, hashes = [], {}
    for entry in (FOLDER / f"{name}.txt").read_text("utf-8").replace("\\\n", " ").splitlines():
        if "==" in entry and not entry.startswith("#"):
            line = HASH.sub("", entry).strip()
            lines.append(line)
            release = line.partition(";")[0].strip()
            hashes[release] = frozenset(HASH.findall(entry)) | hashes.get(release, frozenset())
    return Lock(tuple(lines), hashes)


def normalised(name: str) -> str:
    """A package's name as locks spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def write(name: str, wanted: list[str], uv: Path, python: str, local: dict[str, str], one_python: bool = False) -> None:
    """Make a lock anew by asking the package index.

    Args:
        wanted: exact requirements. uv: the program. python: the oldest version that it is for.
        local: sha256 of further files by release, such as builds that other indexes have.
        one_python: the packages know no later Python, and every platform is asked about on its own.
    """
    words = ["--python-version", python, "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
    kinds = [["--python-platform", kind] for kind in PLATFORMS] if one_python else [["--universal"]]
    entries: dict[str, None] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "wanted.txt"), Path(folder, "lock.txt")
        source.write_text("\n".join(wanted) + "\n", "utf-8")
        for kind in kinds:
            if shell.run(uv, "pip", "compile", "--quiet", *words, *kind, source, "--output-file", target):
                raise SystemExit("The packages could not be resolved; uv's message above says why.")
            entries |= dict.fromkeys(re.split(r"\n(?=\S)", target.read_text("utf-8").strip()))
    text = "\n".join(entries) + "\n"
    for release, digest in local.items():
        text = re.sub(rf"^({re.escape(release)}[^\n]*\\\n)", rf"\1    --hash=sha256:{digest} \\\n", text, flags=re.M)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.txt").write_text(text, "utf-8")


def local_build(python: Path, requirement: str) -> dict[str, str]:
    """The file that this machine's indexes have for a release, by release, where it is a local build (2.13.0+cpu)."""
    with tempfile.TemporaryDirectory() as folder:
        words = ("-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, requirement)
        if shell.run(python, *words):
            raise SystemExit("The package could not be downloaded; pip's message above says why.")
        (wheel,) = Path(folder).glob("*.whl")
        digest = subprocess.run([python, "-m", "pip", "hash", wheel], capture_output=True, text=True, check=True)
        return {requirement: HASH.findall(digest.stdout)[0]} if "+" in wheel.name.replace("%2B", "+") else {}
