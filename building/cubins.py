"""Reads a fat binary: which architectures it is for, and of every kernel the name and where its parameters lie.

Reading takes lief, and comparing takes the engine: ``python -m building.cubins FATBIN LIST`` runs in the engine's
environment and writes the list with which the engine will check and open the file. The layout is NVIDIA's own and
written down nowhere: whatever is not as expected ends it.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0xBA55ED50
HEADER = struct.Struct("<IHHQ")  # magic, version, bytes of the header, bytes of all entries
ENTRY = struct.Struct("<HHIQ12xI")  # kind, version, bytes of the header, bytes of what follows, architecture
PTX, ELF = 1, 2
INFO = ".nv.info."  # sections, each with the name of a kernel
SIZED, PARAMETER = 4, 0x17  # an attribute's format with a size of its own; EIATTR_KPARAM_INFO


@dataclass(frozen=True)
class Entry:
    """Attributes:
    kind: "sm" or "compute" (PTX). architecture: such as 86.
    kernels: offset and size of each parameter, by the kernels' names; empty for PTX.
    """

    kind: str
    architecture: int
    kernels: dict[str, list[tuple[int, int]]]


def read(data: bytes) -> list[Entry]:
    """What is in a fat binary.

    Raises:
        ValueError: it is none, or is cut off.
    """
    try:
        magic, _, place, size = HEADER.unpack_from(data)
        if magic != MAGIC or place + size != len(data):
            raise ValueError("This is no fat binary, or it is cut off.")
        found = []
        while place < len(data):
            kind, _, header, size, architecture = ENTRY.unpack_from(data, place)
            body = data[place + header : place + header + size]
            found.append(Entry("compute" if kind == PTX else "sm", architecture, _kernels(body) if kind == ELF else {}))
            place += header + size
    except struct.error as error:
        raise ValueError("This fat binary is cut off.") from error
    return found


def _kernels(cubin: bytes) -> dict[str, list[tuple[int, int]]]:
    import lief

    lief.logging.disable()
    binary = lief.ELF.parse(list(cubin))
    if not isinstance(binary, lief.ELF.Binary):
        raise ValueError("A program in this fat binary cannot be read.")
    infos = {str(section.name): bytes(section.content) for section in binary.sections}
    return {name[len(INFO) :]: sorted(_layout(info)) for name, info in infos.items() if name.startswith(INFO)}


def _layout(info: bytes) -> Iterator[tuple[int, int]]:
    """Offset and size of the parameters that a kernel's attributes name."""
    place = 0
    while place < len(info):
        form, attribute, size = struct.unpack_from("<BBH", info, place)
        place += 4
        if form == SIZED:
            if attribute == PARAMETER:
                _, _, offset, word = struct.unpack_from("<IHHI", info, place)
                yield offset, word >> 18
            place += size


def names(data: bytes) -> dict[str, str]:
    """What the engine's kernels are called in a fat binary, after comparing all their parameters.

    Raises:
        ValueError: a kernel is missing, or takes other parameters than the engine passes.
    """
    from engine.splatting.cuda.signatures import SIGNATURES, layout

    entries = [entry for entry in read(data) if entry.kind == "sm"]
    if not entries:
        raise ValueError("There is no program in this fat binary.")
    found = {}
    for entry in entries:
        for name, parameters in SIGNATURES.items():
            inside = [word for word in entry.kernels if f"{len(name)}{name}" in word]
            if len(inside) != 1 or found.setdefault(name, inside[0]) != inside[0]:
                raise ValueError(f"sm_{entry.architecture} has not one {name}, but {inside}.")
            if entry.kernels[inside[0]] != layout(parameters):
                told = f"{entry.kernels[inside[0]]}, not {layout(parameters)}"
                raise ValueError(f"{name} of sm_{entry.architecture} takes (offset, size) {told}.")
    return found


def main(arguments: list[str]) -> int:
    source, target = map(Path, arguments)
    data = source.read_bytes()
    try:
        named = names(data)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    architectures = [f"{entry.kind}_{entry.architecture}" for entry in read(data)]
    listed = {"file": source.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    target.write_text(json.dumps(listed | {"architectures": architectures, "names": named}, indent=1), "utf-8")
    print(f"{len(data) / 1e6:.1f} MB for {', '.join(architectures)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
