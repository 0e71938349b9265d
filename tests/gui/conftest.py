"""A real Blender with the built zip installed; ``build.py test`` sets both up and names them in the environment."""

import os
import shutil
from pathlib import Path

import pytest

from tests.gui.real_blender import ROOT_VARIABLE, ZIP_VARIABLE, RealBlender

if ROOT_VARIABLE not in os.environ:
    collect_ignore_glob = ["*"]


@pytest.fixture(scope="session")
def blender() -> RealBlender:
    return RealBlender(Path(os.environ[ROOT_VARIABLE]))


@pytest.fixture(scope="session")
def share(blender: RealBlender):
    """A folder that is ``/share`` inside, with the extension installed and enabled in Blender's user files.

    Not below pytest's temporary folders: those of three runs are kept, and the unpacked engine has gigabytes.
    """
    archive = Path(os.environ[ZIP_VARIABLE])
    folder = archive.parent / "share"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    words = ("extension", "install-file", "-r", "user_default", "--enable", f"/zip/{archive.name}")
    blender.run("blender", "--command", *words, share=folder, show={archive.parent: "/zip"})
    yield folder
    shutil.rmtree(folder)
