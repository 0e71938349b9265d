"""What to measure when a CUDA GPU is there: one table beside the papers' figures, and the training runs to start."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import engine
from engine.atomic import atomic_write, make_folder
from engine.benchmark import networks, splatting
from engine.benchmark.context import PHOTOS, context_cost
from engine.benchmark.rows import Row, Task, markdown, run
from engine.errors import EngineError
from engine.models.kit.scene import COUNT
from engine.models.match import MATCH
from engine.progress import Progress
from engine.splatting import rasterization
from engine.systems import networks as known_networks

DTYPES = {"bf16": torch.bfloat16, "float32": torch.float32}
PUBLISHED = {
    "draw 2DGS, 1 000 000": "MATCH 570 FPS (GPU not known)",
    "draw 3DGS, 130 000": "UIKA 220 FPS (GPU not known)",
}
"""The papers' figures by the beginning of a row's name; those of networks are in their specs."""


def paper_sized() -> dict[str, networks.Build]:
    """Every network at its paper's size."""
    return {
        name: partial(network.rehearse, network.config.paper())
        for name, network in known_networks().items()
        if network.rehearse is not None
    }


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        counts: Gaussians that are drawn and driven. image: pixels per side of what is drawn.
        photos: numbers of photos of the networks. systems: by name.
        scenes: of the parity row. scene_count: Gaussians in each.
        context: MATCH whose context is measured. context_size: pixels per side of its photos. context_photos: how many.
        frames, passes: repeats of frames and of whole networks.
    """

    counts: Sequence[int] = (COUNT, 1_000_000)
    image: int = 512
    photos: Sequence[int] = (1, 4)
    systems: Mapping[str, networks.Build] = field(default_factory=paper_sized)
    scenes: int = 6
    scene_count: int = 2000
    context: MATCH = field(default_factory=MATCH.paper)
    context_size: int = 512
    context_photos: Sequence[int] = PHOTOS
    frames: int = splatting.FRAMES
    passes: int = networks.CREATE_REPEATS


def tasks(device: torch.device, sizes: Sizes) -> list[Task]:
    """All rows, cheap and telling ones first."""

    def parity() -> dict[str, float]:
        side = sizes.image // 4
        scenes = [splatting.random_scene(seed, sizes.scene_count, side + 13, side) for seed in range(sizes.scenes)]
        return splatting.parity(scenes, splatting.on_device(device), rasterization)

    found = [("parity of gsplat with the CPU kernels", parity)]
    for count in sizes.counts:
        for name, work in (
            ("draw 3DGS", splatting.draw_3dgs),
            ("draw 2DGS", splatting.draw_2dgs),
            ("drive", splatting.drive_avatar),
            ("preview", splatting.preview),
        ):
            found.append(
                (f"{name}, {count:_}".replace("_", " "), partial(work, count, sizes.image, device, sizes.frames))
            )
    for system, build in sizes.systems.items():
        for photos in sizes.photos:
            for dtype_name, dtype in DTYPES.items():
                name = f"{system}, {_photos(photos)}"
                once = partial(networks.create, build, photos, device, dtype, sizes.passes)
                found.append((f"{name}, create, {dtype_name}", once))
                if known_networks()[system].system.moves:
                    again = partial(networks.frame, build, photos, device, dtype, sizes.image, sizes.frames)
                    found.append((f"{name}, frame, {dtype_name}", again))

    def context(photos: int) -> dict[str, float]:
        figures = dict(vars(context_cost(sizes.context, sizes.context_size, photos, device)))
        del figures["photos"]
        return figures

    rows = [Task(name, work) for name, work in found]
    rows += [
        Task(f"match's context, {_photos(photos)}", partial(context, photos), own_memory=True)
        for photos in sizes.context_photos
    ]
    return rows


def _photos(count: int) -> str:
    return f"{count} photo{'s' * (count > 1)}"


def published(name: str) -> str:
    """The paper's figure beside a row, "" for none."""
    known = dict(PUBLISHED)
    for system, network in known_networks().items():
        known |= {f"{system}, {end}": figure for end, figure in network.published.items()}
    return next((figure for begin, figure in known.items() if name.startswith(begin)), "")


def benchmark_gpu(folder: Path, progress: Progress) -> list[Row]:
    """The whole table on the first CUDA device, kept in ``folder``: ``gpu.json``, from which the next call goes on,
    and ``gpu.md`` for people.

    Raises:
        EngineError: there is no CUDA device. OutputError: the folder cannot be written.
    """
    if not torch.cuda.is_available():
        raise EngineError(
            "There is no CUDA GPU that PyTorch can use.",
            "Run this on a machine with an NVIDIA GPU and a CUDA build of PyTorch, or leave out --gpu.",
        )
    device = torch.device("cuda", 0)
    return measure(folder, device, setting(device), Sizes(), progress)


def measure(
    folder: Path, device: torch.device, where: Mapping[str, str], sizes: Sizes, progress: Progress
) -> list[Row]:
    """:func:`benchmark_gpu` on any device at any sizes."""
    make_folder(folder)
    progress.start("benchmark")
    rows = run(tasks(device, sizes), folder / "gpu.json", where, device, progress)
    progress.finish()
    with atomic_write(folder / "gpu.md") as temporary:
        header = "; ".join(f"{name} {value}" for name, value in where.items())
        table = markdown(rows, {row.name: published(row.name) for row in rows})
        commands = "".join(f"    {line}\n" for line in training_commands())
        temporary.write_text(f"{header}\n\n{table}\nTraining runs to start:\n\n{commands}", encoding="utf-8")
    return rows


def setting(device: torch.device) -> dict[str, str]:
    """Device and versions that decide whether a row still holds."""
    try:
        gsplat = version("gsplat")
    except PackageNotFoundError:
        gsplat = "none"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": name,
        "cuda": str(torch.version.cuda),
        "torch": torch.__version__,
        "gsplat": gsplat,
        "engine": engine.__version__,
    }


def training_commands() -> list[str]:
    """Training runs for one GPU, then for a machine with eight. Numbers of steps are ours."""
    small = [
        f"python -m engine train --system {system} --preset small --steps 200000 --out runs/{system}-small"
        for system in known_networks()
    ]
    paper = [
        f"torchrun --nproc-per-node=8 -m engine train --system {system} --preset paper --steps 300000 "
        f"--out runs/{system}-paper"
        for system in known_networks()
    ]
    return small + paper
