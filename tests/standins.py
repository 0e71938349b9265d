"""Tiny wheels, and an extension that carries them, for tests that unpack or package."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import io
import json
import sys
import zipfile
from pathlib import Path

from building import environments, extension, wheels

TAG = "cp{}{}".format(*sys.version_info)


def make_wheel(folder: Path, name: str, files: dict[str, bytes], version: str = "1.0") -> Path:
    """A pure Python wheel with these files and, unless they bring one, a RECORD that fits them."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    } | files
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.writerow((path, f"sha256={digest}", len(data)))
    rows.writerow((f"{info}/RECORD", "", ""))
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in ({f"{info}/RECORD": record.getvalue().encode()} | files).items():
            archive.writestr(inside, data)
    return path


def make_installer_wheel(folder: Path) -> Path:
    """The library that installs wheels, as a wheel again."""
    distribution = importlib.metadata.distribution("installer")
    files = {
        path.as_posix(): path.locate().read_bytes()
        for path in distribution.files or ()
        if path.parts[0] != ".." and path.suffix != ".pyc" and path.name not in ("RECORD", "INSTALLER", "REQUESTED")
    }
    return make_wheel(folder, "installer", files, distribution.version)


def make_extension(folder: Path, chosen: list[Path], tag: str = TAG) -> Path:
    """An extension's folder that carries these wheels for one Python, and nothing else."""
    rows = [wheels.describe(path) for path in chosen]
    tools = make_installer_wheel(folder / "tools")
    source = chosen[0].parent
    about = {"version": 2, "platform": environments.platform_name(), "macos": "14.0", "accelerator": "cpu"}
    about |= {"engine": "0" * 64}
    extension.stage_wheels(folder / "wheels", about, (tools.parent, wheels.describe(tools)), {tag: (source, rows)})
    return folder


def edit_lock(extension_dir: Path, edit) -> None:
    """Change the extension's list of packages."""
    path = extension_dir / "wheels" / "lock.json"
    lock = json.loads(path.read_text("utf-8"))
    edit(lock)
    path.unlink()  # it may be a hard link
    path.write_text(json.dumps(lock), "utf-8")
