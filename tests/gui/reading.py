"""Finds words on a screenshot, as a person finds a button: by reading. Positions of buttons differ between versions."""

from __future__ import annotations

import csv
import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from tests.gui.real_blender import RealBlender

ENLARGED = 4  # interface text is smaller than what the reader was trained on
BORDER = 10  # px; text at a picture's very edge is not read
SURE = 40.0  # per cent


@dataclass(frozen=True)
class Word:
    """A word on the screen; centre in pixels."""

    text: str
    x: int
    y: int


def read(
    blender: RealBlender, picture: Path, box: tuple[int, int, int, int], *, turned: bool = False
) -> list[list[Word]]:
    """The lines of text within a part of a picture, top to bottom.

    Args:
        box: left, top, right, bottom in pixels.
        turned: the text runs from top to bottom, as on the sidebar's tabs.
    """
    part = ImageOps.invert(Image.open(picture).convert("L").crop(box))
    if turned:
        part = part.rotate(90, expand=True)
    part = ImageOps.expand(part, BORDER, fill=part.getpixel((0, 0)))
    large = part.resize((part.width * ENLARGED, part.height * ENLARGED), Image.Resampling.LANCZOS)
    png = io.BytesIO()
    large.save(png, "PNG")
    command = ["chroot", str(blender.root), "tesseract", "-", "-", "--psm", "11", "tsv"]
    table = subprocess.run(command, input=png.getvalue(), capture_output=True, check=True).stdout.decode()
    lines: dict[tuple[str, ...], list[Word]] = {}
    for row in csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE):
        if float(row["conf"]) < SURE or not row["text"].strip():
            continue
        x = (int(row["left"]) + int(row["width"]) / 2) / ENLARGED - BORDER
        y = (int(row["top"]) + int(row["height"]) / 2) / ENLARGED - BORDER
        if turned:
            x, y = part.height - 2 * BORDER - y, x
        lines.setdefault((row["block_num"], row["par_num"], row["line_num"]), []).append(
            Word(row["text"], round(box[0] + x), round(box[1] + y))
        )
    return sorted(lines.values(), key=lambda words: words[0].y)


def find(lines: list[list[Word]], text: str) -> Word | None:
    """The first place where ``text`` (one or several words) stands; None where it does not."""
    wanted = text.lower().split()
    for words in lines:
        found = [word.text.lower().strip(".:,") for word in words]
        for start in range(len(found) - len(wanted) + 1):
            if found[start : start + len(wanted)] == wanted:
                middle = words[start : start + len(wanted)]
                return Word(text, sum(w.x for w in middle) // len(middle), sum(w.y for w in middle) // len(middle))
    return None
