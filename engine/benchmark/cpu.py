"""The CPU rasteriser and a whole reconstruction, as one table of numbers."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import torch

from engine import assets
from engine.benchmark.measure import REPEATS, machine, process_peak_gb, seconds
from engine.gaussians.gaussians import Splats
from engine.heads import load_head
from engine.models.kit.scene import COUNT, SIZE, head_shell, portrait_camera
from engine.models.learned.reconstruct import trained
from engine.models.spec import SystemSpec
from engine.photos import load_photos
from engine.pipeline import Options, reconstruct
from engine.progress import Progress
from engine.splatting import rasterization, reference, warm_up
from engine.splatting.kernels.constants import ALPHA_MIN, TILE
from engine.systems import systems
from engine.tracking import track

PORTRAIT = "samples/astronaut.png"
PIXEL_STRIDE, PIXELS_AT_ONCE = 1021, 128  # a prime stride visits every column


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


def benchmark(progress: Progress, count: int = COUNT, options: Options = Options()) -> dict[str, object]:  # noqa: B008
    """Time the CPU rasteriser on :func:`head_shell` (``count`` Gaussians at 512², one camera, compiled kernels), then a
    whole reconstruction of the sample portrait with ``options``.

    Returns:
        ``splat_forward_ms`` and ``splat_backward_ms``: medians, projection, sorting and binning included;
        ``reference_ratio``: how many times longer :func:`plain_torch` takes for the forward pass in the same run, from
        a sample of the pixels; ``tiled_ratio``: the same for :func:`tiled_torch`, which bins as the kernels do;
        ``reconstruct_one_photo_s``: decoding to avatar, the head model loaded from its cache; ``refine_iteration_ms``:
        of its refinement;
        ``SYSTEM_gaussians_s`` and ``SYSTEM_motion_s`` of every system: see :func:`photo_to_gaussians`;
        ``peak_memory_gb``: of this process; ``machine``: cpu, cores, torch version, threads.

    Raises:
        AssetError: the sample portrait has not been fetched.
    """
    photo = assets.path(PORTRAIT)
    load_head()
    progress.start("benchmark")
    warm_up()
    progress.update(0.2)
    splats = head_shell(count)
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
        plain = PIXEL_STRIDE * seconds(lambda: plain_torch(splats, viewmats[0], Ks[0], SIZE))
        tiled = seconds(lambda: tiled_torch(splats, viewmats[0], Ks[0], SIZE))
    silent = Progress(is_cancelled=progress.is_cancelled)
    reconstruct([photo], "benchmark", replace(options, refine_seconds=0.1), silent)  # compiles what is left
    started = time.perf_counter()
    made = reconstruct([photo], "benchmark", options, Progress(is_cancelled=progress.is_cancelled))
    whole = time.perf_counter() - started
    progress.update(0.8)
    systems = photo_to_gaussians(progress, options)
    progress.finish()
    return {
        "splat_forward_ms": 1e3 * statistics.median(forward),
        "splat_backward_ms": 1e3 * statistics.median(backward),
        "reference_ratio": plain / statistics.median(forward),
        "tiled_ratio": tiled / statistics.median(forward),
        "reconstruct_one_photo_s": whole,
        "refine_iteration_ms": 1e3 * made.seconds["refinement"] / made.model.metrics["rounds"],
        **systems,
        "peak_memory_gb": process_peak_gb(),
        "machine": machine(),
    }


def photo_to_gaussians(progress: Progress, options: Options) -> dict[str, float]:
    """Seconds of every system from the tracked sample portrait to the options' Gaussians (``SYSTEM_gaussians_s``), and
    of what those with a motion of their own need on top to fit its basis (``SYSTEM_motion_s``). Weights are in memory;
    nothing is refined."""
    silent = Progress(is_cancelled=progress.is_cancelled)
    photos = load_photos([assets.path(PORTRAIT)], silent).photos
    head = load_head()
    tracked = track(photos, head, silent)
    figures = {}
    for name, spec in systems().items():

        def run(spec: SystemSpec = spec) -> object:
            return spec.reconstruct(photos, tracked, head, silent, options.gaussians)

        run()
        whole = seconds(run)
        network = None if spec.network is None else trained(name, spec.network)
        if network is None or not network.moves:
            figures[f"{name}_gaussians_s"] = whole
            continue
        network.moves = False  # the very network that systems use: it must not stay so
        try:
            figures[f"{name}_gaussians_s"] = rest = seconds(run)
        finally:
            network.moves = True
        figures[f"{name}_motion_s"] = whole - rest
    return figures
