"""The engine's speed on this machine, as one table of numbers."""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from engine import assets
from engine.gaussians.gaussians import Splats
from engine.heads import load_head
from engine.pipeline import Options, reconstruct
from engine.progress import Progress
from engine.splatting import rasterization, reference, warm_up
from engine.splatting.constants import ALPHA_MIN, TILE

COUNT, SIZE = 130_000, 512
"""The scene's Gaussians, and the edge of its image in pixels."""

PORTRAIT = "samples/astronaut.png"
REPEATS = 9
PIXEL_STRIDE, PIXELS_AT_ONCE = 1021, 128  # a prime stride visits every column
HEAD_RADII = (0.08, 0.12, 0.10)
HEAD_DISTANCE = 0.6


def head_shell(count: int = COUNT, seed: int = 0) -> Splats:
    """A head-sized ellipsoid (16 × 24 × 20 cm) around the origin, tiled with flat Gaussians of opacity 0.9 and random
    colour, as wide as an even cover of its surface asks for."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    radii = torch.tensor(HEAD_RADII)
    nx, ny, nz = torch.nn.functional.normalize(directions / radii, dim=-1).unbind(-1)
    width = 0.7 * math.sqrt(4.0 * math.pi * 0.1**2 / count)
    return Splats(
        means=directions * radii,
        quats=torch.stack([1.0 + nz, -ny, nx, torch.zeros(count)], -1),  # turns z into the normal
        scales=torch.tensor([width, width, 0.1 * width]).expand(count, 3).contiguous(),
        opacities=torch.full((count,), 0.9),
        colors=torch.rand(count, 3, generator=generator),
    )


def portrait_camera(size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """Camera [1, 4, 4] and intrinsics [1, 3, 3] that see :func:`head_shell` from 60 cm, filling most of the image."""
    viewmat = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    viewmat[2, 3] = HEAD_DISTANCE
    K = torch.tensor([[2.2 * size, 0.0, size / 2], [0.0, 2.2 * size, size / 2], [0.0, 0.0, 1.0]])
    return viewmat[None], K[None]


def plain_torch(splats: Splats, viewmat: torch.Tensor, K: torch.Tensor, size: int) -> torch.Tensor:
    """Every :data:`PIXEL_STRIDE`-th pixel [P, 4] of one camera by the reference's arithmetic: all Gaussians, no tiles.

    Args:
        viewmat: [4, 4]. K: [3, 3]. size: pixels.
    """
    values = (splats.means, splats.quats, splats.scales, splats.opacities, splats.colors)
    flat = reference.project(*values, viewmat, K, size, size, 0.01)
    order = flat.depths.argsort()
    order = order[flat.kept[order]]
    features = torch.cat([splats.colors[order], flat.depths[order, None]], -1)
    pixels = reference.pixel_centres(size, size, splats.means.dtype).reshape(-1, 2)[::PIXEL_STRIDE]
    rows = [
        reference.composite(some, flat.means2d[order], flat.covariances[order], splats.opacities[order], features)[0]
        for some in pixels.split(PIXELS_AT_ONCE)
    ]
    return torch.cat(rows)


def tiled_torch(splats: Splats, viewmat: torch.Tensor, K: torch.Tensor, size: int) -> torch.Tensor:
    """The image [H, W, 4] of one camera by vectorised PyTorch alone: the reference's arithmetic, tile by tile.

    Args:
        viewmat: [4, 4]. K: [3, 3]. size: pixels, a multiple of the tile.
    """
    values = (splats.means, splats.quats, splats.scales, splats.opacities, splats.colors)
    flat = reference.project(*values, viewmat, K, size, size, 0.01)
    order = flat.depths.argsort()
    order = order[flat.kept[order]]
    means2d, covariances, depths = flat.means2d[order], flat.covariances[order], flat.depths[order]
    opacities, features = splats.opacities[order], torch.cat([splats.colors[order], depths[:, None]], -1)

    extents = (2.0 * torch.log(opacities / ALPHA_MIN)).sqrt()[:, None] * covariances.diagonal(dim1=1, dim2=2).sqrt()
    tiles = size // TILE
    first = ((means2d - extents) / TILE).floor().clamp(0, tiles).long()
    spans = ((means2d + extents) / TILE).ceil().clamp(0, tiles).long() - first
    counts = spans.prod(-1)
    pair_splats = torch.arange(len(order)).repeat_interleave(counts)
    within = torch.arange(len(pair_splats)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    columns = first[pair_splats, 0] + within % spans[pair_splats, 0]
    rows = first[pair_splats, 1] + within // spans[pair_splats, 0]
    pair_tiles, by_tile = (rows * tiles + columns).sort(stable=True)
    listed = pair_splats[by_tile].split(pair_tiles.bincount(minlength=tiles * tiles).tolist())

    pixels = reference.pixel_centres(size, size, means2d.dtype)
    image = torch.zeros(size, size, 4)
    for tile, ids in enumerate(listed):
        y, x = tile // tiles * TILE, tile % tiles * TILE
        block = pixels[y : y + TILE, x : x + TILE].reshape(-1, 2)
        summed, _ = reference.composite(block, means2d[ids], covariances[ids], opacities[ids], features[ids])
        image[y : y + TILE, x : x + TILE] = summed.reshape(TILE, TILE, 4)
    return image


def benchmark(progress: Progress) -> dict[str, object]:
    """Time the CPU rasteriser on :func:`head_shell` (130 000 Gaussians at 512², one camera, compiled kernels), then a
    whole reconstruction of the sample portrait with the default options.

    Returns:
        ``splat_forward_ms`` and ``splat_backward_ms``: medians, projection, sorting and binning included;
        ``reference_ratio``: how many times longer :func:`plain_torch` takes for the forward pass in the same run, from
        a sample of the pixels; ``tiled_ratio``: the same for :func:`tiled_torch`, which bins as the kernels do;
        ``reconstruct_one_photo_s``: decoding to avatar, the head model loaded from its cache;
        ``peak_memory_gb``: of this process; ``machine``: cpu, cores, torch version, threads.

    Raises:
        AssetError: the sample portrait has not been fetched.
    """
    photo = assets.path(PORTRAIT)
    load_head()
    progress.start("benchmark")
    warm_up()
    progress.update(0.2)
    splats = head_shell()
    viewmats, Ks = portrait_camera()
    values = (splats.means, splats.quats, splats.scales, splats.opacities, splats.colors)
    inputs = [x.requires_grad_() for x in (*values, viewmats)]
    forward, backward = [], []
    for repeat in range(REPEATS):
        started = time.perf_counter()
        renders, alphas, _ = rasterization(*inputs, Ks=Ks, width=SIZE, height=SIZE)
        forward.append(time.perf_counter() - started)
        loss = renders.sum() + alphas.sum()
        started = time.perf_counter()
        loss.backward()
        backward.append(time.perf_counter() - started)
        progress.update(0.2 + 0.4 * (repeat + 1) / REPEATS)
    with torch.no_grad():
        plain = PIXEL_STRIDE * _seconds(lambda: plain_torch(splats, viewmats[0], Ks[0], SIZE))
        tiled = _seconds(lambda: tiled_torch(splats, viewmats[0], Ks[0], SIZE))
    reconstruct([photo], "benchmark", Options(), Progress(is_cancelled=progress.is_cancelled))  # compiles what is left
    started = time.perf_counter()
    reconstruct([photo], "benchmark", Options(), Progress(is_cancelled=progress.is_cancelled))
    whole = time.perf_counter() - started
    progress.finish()
    return {
        "splat_forward_ms": 1e3 * statistics.median(forward),
        "splat_backward_ms": 1e3 * statistics.median(backward),
        "reference_ratio": plain / statistics.median(forward),
        "tiled_ratio": tiled / statistics.median(forward),
        "reconstruct_one_photo_s": whole,
        "peak_memory_gb": _peak_memory(),
        "machine": machine(),
    }


def machine() -> dict[str, object]:
    """What the numbers were measured on: ``cpu``, ``cores``, ``torch`` (version) and ``threads``."""
    return {"cpu": _cpu_name(), "cores": os.cpu_count(), "torch": torch.__version__, "threads": torch.get_num_threads()}


def _peak_memory() -> float | None:
    """Largest resident size of this process so far in 10⁹ bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _cpu_name() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
