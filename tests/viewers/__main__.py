"""Opens avatars in viewers that are not ours: ``python -m tests.viewers AVATAR… -o FOLDER``.

Every avatar is exported to every format that one of the viewers reads, opened in each of them, seen from the front, the
left and the right, near and far, and compared with the engine's own pictures. In the folder are then the files, all
pictures, a sheet of them (``sheet.jpg``) and the figures (``table.md``).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from PIL import Image

from building.shell import BUILD
from engine import avatar as avatars
from engine.exchange.exporting import export, export_formats
from engine.rendering import ORBIT_FILL, orbit_camera
from tests.viewers.browser import Browser, why_not
from tests.viewers.viewers import VIEWERS, draw, expected, psnr, save_picture

YAWS = (0, 45, -60)  # degrees
NEAR = 512  # pixels
FAR = round(80 / ORBIT_FILL)  # the head is 80 pixels high
SHEET = 300  # pixels of one picture in the sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatars", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if reason := why_not():
        raise SystemExit(f"No viewer can be opened here: {reason}")
    browser = Browser(BUILD / "viewers")
    browser.set_up()
    options.output.mkdir(parents=True, exist_ok=True)
    rows, sheet = [], []
    for path in options.avatars:
        measured, pictures = measure(browser, path, options.output)
        rows += measured
        sheet += pictures
    versions = browser.versions()
    table = [f"Chromium {versions['chromium']}, WebGL2 drawn by software.", "", *HEADER, *rows, ""]
    (options.output / "table.md").write_text("\n".join(table), "utf-8")
    save_picture(np.concatenate(sheet), options.output / "sheet.jpg")
    print("\n".join(table))


HEADER = (
    "| avatar | viewer | file | settings | size, px | dB to the engine's picture | dB to it with the viewer's blur |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)


def measure(browser: Browser, path: Path, folder: Path) -> tuple[list[str], list[np.ndarray]]:
    """Lines of the table, and rows of pictures [SHEET, n, 3] of one avatar."""
    avatar = avatars.load(path)
    splats = avatars.drive(avatar, {})
    formats = {name for viewer in VIEWERS for name in viewer.formats} & set(export_formats())
    files = {name: folder / f"{path.stem}.{name}" for name in sorted(formats)}
    for file in files.values():
        export(avatar, avatars.Pose(), file)
    near = [(viewer, files[name], {}) for viewer in VIEWERS for name in viewer.formats if name in files]
    near += [(v, file, v.like_ours) for v, file, _ in near if v.like_ours]
    far = [(viewer, file, settings) for viewer, file, settings in near if viewer.drops]
    lines, pictures = [], []
    for size, wanted in ((NEAR, near), (FAR, far)):
        cameras = [orbit_camera(avatar, math.radians(yaw), width=size, height=size) for yaw in YAWS]
        own = [expected(splats, camera) for camera in cameras]
        shown = [own[1]]
        for (viewer, file, settings), drawn in zip(wanted, draw(browser, folder, wanted, cameras), strict=True):
            alike = [expected(splats, camera, viewer.blur) for camera in cameras] if viewer.blur != 0.3 else own
            cells = (
                *(path.stem, viewer.name, file.suffix, "as the engine" if settings else "its own", str(size)),
                *(figures(drawn.pictures, references) for references in (own, alike)),
            )
            lines.append(f"| {' | '.join(cells)} |")
            for yaw, picture in zip(YAWS, drawn.pictures, strict=True):
                kind = "set" if settings else "own"
                save_picture(picture, folder / f"{path.stem}_{viewer.page}_{kind}{file.suffix}_{size}_{yaw}.png")
            if file.suffix == ".ply" and not settings:
                shown.append(drawn.pictures[1])
        pictures.append(row(shown, 1 + len(VIEWERS)))
    return lines, pictures


def figures(pictures: list[np.ndarray], references: list[np.ndarray]) -> str:
    return " ".join(f"{psnr(picture, own):.1f}" for picture, own in zip(pictures, references, strict=True))


def row(pictures: list[np.ndarray], count: int) -> np.ndarray:
    """[SHEET, count * SHEET, 3]: pictures side by side; small ones are enlarged without smoothing."""
    tiles = []
    for picture in pictures:
        image = Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8))
        smooth = Image.Resampling.NEAREST if image.width < SHEET else Image.Resampling.LANCZOS
        tiles.append(np.asarray(image.resize((SHEET, SHEET), smooth)) / np.float32(255))
    blank = np.ones((SHEET, SHEET, 3), np.float32)
    return np.concatenate(tiles + [blank] * (count - len(tiles)), axis=1)


if __name__ == "__main__":
    main()
