"""Draws the house from its imports: the picture and the list of rooms in ``docs/architecture.md``.

Mermaid is what GitHub and most editors draw by themselves, so the picture is text that a diff can show.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import grimp

from building.shell import ROOT

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- made by: python3 build.py architecture -->", "<!-- end of what is made -->"
HALVES = ("engine", "blender_addon")
FEW = 2  # imports that two rooms have between them, from which the picture shows an arrow
BUSY = 4  # rooms that a single file uses, from which it is in the picture; folders all are


def write() -> bool:
    """Make the page's picture anew; returns whether anything changed."""
    before = PAGE.read_text("utf-8")
    page = drawn(before)
    if page != before:
        PAGE.write_text(page, "utf-8")
    return page != before


def drawn(page: str) -> str:
    """The page with what is made put between its marks.

    Raises:
        ValueError: it has no marks.
    """
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    parts = [part for half in HALVES for part in (_picture(half), _rooms(half))]
    return f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}"


def layers(half: str) -> list[list[str]]:
    """The rooms of one half from the door to the ground, as the import contracts have them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract.get("containers") == [half])
    return [[room.strip() for room in row.replace(":", "|").split("|")] for row in rows]


def arrows(half: str) -> dict[tuple[str, str], int]:
    """How many modules of one room import how many of another, by (importer, imported)."""
    graph = grimp.build_graph(half)
    found: dict[tuple[str, str], int] = {}
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            pair = _room(importer), _room(imported)
            if "" not in pair and pair[0] != pair[1]:
                found[pair] = found.get(pair, 0) + 1
    return found


def _room(module: str) -> str:
    return ".".join(module.split(".")[1:2])


def _picture(half: str) -> str:
    """Each layer a row; of the arrows, those that no longer way says already."""
    known = arrows(half)
    uses = {room: sum(importer == room for importer, _ in known) for row in layers(half) for room in row}
    shown = {room for room, count in uses.items() if (ROOT / half / room).is_dir() or count >= BUSY}
    rows = [[room for room in row if room in shown] for row in layers(half)]
    pairs = {pair for pair, count in known.items() if count >= FEW and shown.issuperset(pair)}
    lines = ["```mermaid", "flowchart TD"]
    for number, row in enumerate(filter(None, rows)):
        lines += [f"  subgraph {half}{number}[ ]", "    direction LR"]
        lines += [f"    {half}_{room}[{room}]" for room in row]
        lines.append("  end")
    below: dict[str, set[str]] = {}
    for importer, imported in pairs:
        below.setdefault(importer, set()).add(imported)
    for importer, imported in sorted(pairs):
        if not any(imported in below.get(between, ()) for between in below[importer] - {imported}):
            lines.append(f"  {half}_{importer} --> {half}_{imported}")
    return "\n".join([*lines, "```"])


def _rooms(half: str) -> str:
    """A table: what each room is for, in the words of its own first line."""
    lines = [f"| `{half}/` | what it is for |", "| --- | --- |"]
    for room in (room for row in layers(half) for room in row):
        lines.append(f"| `{room}` | {_purpose(ROOT / half / room)} |")
    return "\n".join(lines)


def _purpose(place: Path) -> str:
    """The first paragraph of a module's or a package's docstring."""
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", r"\|")


if __name__ == "__main__":
    print(f"{PAGE.relative_to(ROOT)} {'is made anew' if write() else 'was up to date'}.")
