"""The parts of a .ply of strangers (text, or binary of either byte order) that hold numbers, by its header.

Nothing larger than the file is allocated, whatever the header says, so that hostile files cost no more than sound ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

HEADER = 1 << 16  # bytes that a header may take
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip


@dataclass(frozen=True)
class Element:
    """A table of a .ply.

    Attributes:
        count: rows. properties: numpy's code by name, in the file's order; none for lists, whose rows differ in length.
    """

    name: str
    count: int
    properties: Mapping[str, str | None]


@dataclass(frozen=True)
class Header:
    """What a .ply says it holds. ``order``: numpy's byte order, none for text. ``size``: the header's own bytes."""

    order: str
    elements: tuple[Element, ...]
    size: int

    def element(self, name: str) -> Element:
        """The first element of that name; an empty one if there is none."""
        return next((found for found in self.elements if found.name == name), Element(name, 0, {}))


def read_header(file: BinaryIO) -> Header:
    """The header of an open .ply.

    Raises:
        ValueError: there is none that can be understood. OSError: the file cannot be read.
    """
    start = file.read(HEADER)
    words = start[:4].split()
    end = start.find(b"end_header")
    close = start.find(b"\n", end)
    if words != [b"ply"] or end < 0 or close < 0:
        raise ValueError("it has no header of a .ply")
    order, elements = None, []
    for line in start[:end].decode("latin-1").splitlines()[1:]:
        match line.split():
            case ["format", kind, _] if kind in ORDERS:
                order = ORDERS[kind]
            case ["element", name, count] if count.isascii() and count.isdecimal() and len(count) < 20:
                elements.append(Element(name, int(count), {}))
            case ["property", "list", _, _, name] if elements:
                elements[-1].properties[name] = None  # type: ignore[index]
            case ["property", kind, name] if elements and kind in TYPES and name not in elements[-1].properties:
                elements[-1].properties[name] = TYPES[kind]  # type: ignore[index]
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"its header says {line.strip()[:60]!r}")
    if order is None:
        raise ValueError("its header names no format")
    return Header(order, tuple(elements), close + 1)


def read_table(path: Path, header: Header, name: str) -> Mapping[str, np.ndarray]:
    """Columns [N] of an element by property; elements before it, and itself, may have no lists.

    Raises:
        ValueError: the file is shorter than its header says, or no table. OSError: it cannot be read.
    """
    place = next(n for n, element in enumerate(header.elements) if element.name == name)
    before, element = header.elements[:place], header.elements[place]
    for each in (*before, element):
        if not each.properties or None in each.properties.values():
            raise ValueError(f"its element {each.name} is no table of numbers")
    if not header.order:
        return _read_text(path, sum(each.count for each in before), header.size, element)
    rows = [_row(each, header.order) for each in (*before, element)]
    start = header.size + sum(row.itemsize * each.count for row, each in zip(rows, before, strict=False))
    if start + rows[-1].itemsize * element.count > os.path.getsize(path):
        raise ValueError("it is shorter than its header says")
    table = np.fromfile(path, rows[-1], element.count, offset=start)
    if len(table) != element.count:
        raise ValueError("it is shorter than its header says")
    return {p: table[p] for p in element.properties}


def _row(element: Element, order: str) -> np.dtype:
    return np.dtype([(name, order + str(code)) for name, code in element.properties.items()])


def _read_text(path: Path, skipped: int, start: int, element: Element) -> Mapping[str, np.ndarray]:
    if start + 2 * (skipped + element.count * len(element.properties)) - 1 > os.path.getsize(path):
        raise ValueError("it is shorter than its header says")
    with path.open("rb") as file:
        file.seek(start)
        for _ in range(skipped):
            file.readline()
        with np.errstate(over="ignore"):  # becomes an infinity
            table = np.loadtxt(file, np.float32, comments=None, encoding="latin-1", max_rows=element.count, ndmin=2)
    if table.shape != (element.count, len(element.properties)):
        raise ValueError("its rows are not as many, or as long, as its header says")
    return dict(zip(element.properties, table.T, strict=True))
