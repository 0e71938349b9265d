"""The file of compiled kernels that the extension's CUDA edition brings, and the list that says what it must be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.splatting.cuda.signatures import SIGNATURES

FOLDER = Path(__file__).parent
FILE, LIST = "kernels.fatbin", "kernels.json"
MOST_BYTES = 64 << 20  # it has 1.2 MB
AGAIN = "Install the extension again from its zip file."


@dataclass(frozen=True)
class Binary:
    """Attributes:
    image: CUDA's fat binary, for several architectures. names: what the kernels are called in it, by gsplat's names.
    """

    image: bytes
    names: Mapping[str, str]


def is_bundled(folder: Path = FOLDER) -> bool:
    """Whether the engine came with kernels."""
    return (folder / LIST).exists()


def read(folder: Path = FOLDER) -> Binary:
    """The kernels, compared with their list.

    Raises:
        EngineError: the file or its list is missing, damaged, or not of the engine's version.
    """
    try:
        listed = json.loads((folder / LIST).read_text("utf-8"))
        with (folder / FILE).open("rb") as file:
            image = file.read(MOST_BYTES)
        names = {name: str(listed["names"][name]) for name in SIGNATURES}
        if hashlib.sha256(image).hexdigest() != listed["sha256"]:
            raise ValueError("its checksum is another")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"The file of the graphics card's kernels, {FILE}, is damaged ({error}).", AGAIN) from error
    return Binary(image, names)
