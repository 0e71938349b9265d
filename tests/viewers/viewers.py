"""The splat viewers that our files are opened in, what they read, and pictures of what they draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.gaussians.gaussians import Splats
from engine.rendering import Camera, render
from tests.viewers.browser import Answer, Browser, Job

# The axes of files that state none: COLMAP's, half a turn about x from ours, or ours, which are OpenGL's.
AXES = {"ply": "colmap", "splat": "colmap", "spz": "gl", "glb": "gl"}


@dataclass(frozen=True)
class Viewer:
    """A viewer.

    Attributes:
        name: for people. page: its module in ``pages``. package: its name at npm.
        formats: endings that it reads, and we write.
        like_ours: what to set so that it draws as the engine does; empty where that cannot be.
        blur: what it adds to each Gaussian's covariance on the screen, px²; the engine adds 0.3.
        drops: it leaves out small Gaussians.
    """

    name: str
    page: str
    package: str
    formats: tuple[str, ...]
    like_ours: Mapping[str, Any] = field(default_factory=dict)
    blur: float = 0.3
    drops: bool = False


VIEWERS = (
    # By default it takes from a small Gaussian's opacity what it adds to its size, and sorts by distance, not depth.
    Viewer(
        "Spark",
        "spark",
        "@sparkjsdev/spark",
        ("ply", "splat", "spz"),
        like_ours={"preBlurAmount": 0.3, "blurAmount": 0.0, "sortRadial": False},
    ),
    # By default it sorts by whole millimetres. It knows .spz up to version 2; ours are of version 3.
    Viewer(
        "GaussianSplats3D",
        "mkkellogg",
        "@mkkellogg/gaussian-splats-3d",
        ("ply", "splat"),
        like_ours={"integerBasedSort": False},
    ),
    # Its covariances are in half pixels, and so is the blur of 0.3.
    Viewer("PlayCanvas", "playcanvas", "playcanvas", ("ply", "glb"), blur=0.075, drops=True),
    Viewer("SuperSplat Viewer", "supersplat", "@playcanvas/supersplat-viewer", ("ply",), blur=0.075, drops=True),
)


@dataclass(frozen=True)
class Drawn:
    """One file in one viewer: its pictures [H, W, 3] in 0..1, one of each camera, and what the page told."""

    pictures: list[np.ndarray]
    answer: Answer


def draw(
    browser: Browser, folder: Path, wanted: Sequence[tuple[Viewer, Path, Mapping[str, Any]]], cameras: Sequence[Camera]
) -> list[Drawn]:
    """Open files in viewers and look at them from cameras, over white.

    Args:
        folder: where the files are, and where the pictures go.
        wanted: viewer, file, and the viewer's settings.
        cameras: of one size, with square pixels and the axis in the middle.

    Raises:
        AssertionError: a viewer could not show a file; with what its page said.
    """
    looks = [{"viewmat": each.viewmat[:3].tolist(), "fov": field_of_view(each)} for each in cameras]
    names = [[f"picture_{job}_{look}.png" for look in range(len(looks))] for job in range(len(wanted))]
    jobs = [
        Job(
            viewer.page,
            {
                "url": f"/shared/{file.name}",
                "axes": AXES[file.suffix.removeprefix(".")],
                "cameras": looks,
                "pictures": pictures,
                "options": dict(options),
            },
            cameras[0].width,
            cameras[0].height,
        )
        for (viewer, file, options), pictures in zip(wanted, names, strict=True)
    ]
    drawn = []
    for (viewer, file, _), pictures, answer in zip(wanted, names, browser.run(jobs, folder), strict=True):
        assert not answer.error, f"{viewer.name} with {file.name}: {answer.error}\n" + "\n".join(answer.lines)
        drawn.append(Drawn([read_picture(folder / picture) for picture in pictures], answer))
    return drawn


def field_of_view(camera: Camera) -> float:
    """A camera's vertical field of view in degrees."""
    return math.degrees(2 * math.atan(camera.height / (2 * camera.K[1, 1])))


def expected(splats: Splats, camera: Camera, blur: float = 0.3) -> np.ndarray:
    """[H, W, 3] in 0..1: the engine's own picture over white, with its blur of 0.3 px², or with another.

    Another blur is that of a larger picture, of which only the pixels are kept that lie where the small one's do.
    """
    times = math.sqrt(0.3 / blur)
    assert times == round(times), blur
    scale = round(times)
    K = camera.K.copy()
    K[:2] *= scale
    K[:2, 2] -= (scale - 1) / 2
    larger = Camera(camera.viewmat, K, camera.width * scale, camera.height * scale)
    return render(splats, larger).over(1.0).numpy()[::scale, ::scale]


def psnr(picture: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two pictures in 0..1, dB."""
    return -10 * math.log10(float(((picture - reference) ** 2).mean()))


def read_picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")) / np.float32(255)


def save_picture(picture: np.ndarray, path: Path) -> None:
    Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8)).save(path, quality=88)
