"""What more photos cost MATCH (arXiv 2603.15811): registration-guided attention beside dense attention."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from engine.atomic import atomic_write
from engine.benchmark.measure import peak_bytes, seconds, synchronise
from engine.errors import EngineError
from engine.models.kit.attention import Attention
from engine.models.kit.blocks import Block, per_view
from engine.models.kit.registration import register
from engine.models.kit.rehearsal import shell_photos
from engine.models.match import MATCH, MatchNetwork
from engine.progress import Progress

PHOTOS, PHOTO_SIZE = (1, 2, 4, 8, 16), 256  # the ``small`` preset's photos
REPEATS = 4


@dataclass(frozen=True)
class ContextCost:
    """Milliseconds (of a CPU: processor time) and 10⁶ bytes of tensors for a number of photos, without gradients.

    Attributes:
        guided: registration and registration-guided attention, everything from tokens to tokens.
        dense: the same with dense attention among all tokens (the paper's ablation), which needs no registration.
        registration: of ``guided``, finding the neighbours.
        per_view: of both, what image tokens do photo by photo whatever the context: the attention within their photo,
            and each block's projections and feed-forward layer.
    """

    photos: int
    guided_ms: float
    dense_ms: float
    registration_ms: float
    per_view_ms: float
    guided_mb: float
    dense_mb: float
    registration_mb: float
    per_view_mb: float


def context_cost(config: MATCH, size: int, photos: int, device: torch.device, repeats: int = REPEATS) -> ContextCost:
    """Measure one network, guided and not, on the same tokens.

    Args:
        config: its ``guided`` is not read. size: pixels per side of the photos.
    """
    torch.manual_seed(0)
    with torch.device(device):
        guided = MatchNetwork(replace(config, guided=True)).eval()
        dense = MatchNetwork(replace(config, guided=False)).eval()
    dense.load_state_dict(guided.state_dict())
    where, patches = shell_photos(photos, size, size, device).where, (size // config.registration.image_patch) ** 2
    uv = torch.randn(1, config.registration.side**2, config.width, device=device)
    images = torch.randn(1, photos, patches, config.width, device=device)

    def neighbours():
        return register(where.uv, where.mask, config.registration)

    unused = neighbours()
    works: dict[str, Callable[[], object]] = {
        "guided": lambda: guided.attend(uv, images, neighbours()),
        "dense": lambda: dense.attend(uv, images, unused),
        "registration": neighbours,
        "per_view": lambda: _per_view_part(guided, images),
    }
    with torch.inference_mode():
        figures = {f"{part}_ms": 1e3 * taken for part, taken in _least_seconds(works, device, repeats).items()}
        figures |= {f"{part}_mb": peak_bytes(work, device) / 1e6 for part, work in works.items()}
    return ContextCost(photos, **figures)


def _least_seconds(works: Mapping[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, float]:
    """The least time of each, run in turn: what else a machine does only ever adds, and seldom to one of them alone.

    On a CPU processor time, all threads together; on CUDA the wall clock.
    """

    def complete(work: Callable[[], object]) -> None:
        work()
        synchronise(device)

    clock = time.perf_counter if device.type == "cuda" else time.process_time
    rounds = [
        {part: seconds(lambda w=work: complete(w), clock) for part, work in works.items()} for _ in range(repeats)
    ]
    return {part: min(each[part] for each in rounds) for part in works}


def _per_view_part(network: MatchNetwork, images: torch.Tensor) -> torch.Tensor:
    """What image tokens [B, V, L, C] go through without a look at other photos or at UV tokens."""
    for pair, (block, grouped) in enumerate(zip(network.registration_blocks, network.grouped_blocks, strict=True)):
        assert isinstance(block, Block) and isinstance(grouped, Block)
        flat = images.flatten(1, 2)
        images = block.think(flat + _unmixed(block.attention, block.norm1(flat))).view_as(images)
        if pair < network.config.pairs - 1:
            images = per_view(grouped, images)
    return images


def _unmixed(attention: Attention, tokens: torch.Tensor) -> torch.Tensor:
    """All four projections of an attention, as if every token saw only itself."""
    attention.queries(tokens)
    _, values = attention.keys_values(tokens)
    return attention.merge(values)


def context_costs(
    progress: Progress, config: MATCH | None = None, size: int = PHOTO_SIZE, photos: Sequence[int] = PHOTOS
) -> list[dict[str, float]]:
    """:class:`ContextCost` as plain rows for every number of photos, on the CPU, with the ``small`` preset."""
    progress.start("context")
    rows = []
    for number, count in enumerate(photos):
        progress.update(number / len(photos))
        rows.append(asdict(context_cost(config or MATCH.small(), size, count, torch.device("cpu"))))
    progress.finish()
    return rows


def write_plot(rows: Sequence[dict[str, float]], path: Path) -> None:
    """Time and memory over the number of photos as a picture: guided, dense, and the per-view part that both contain.

    Raises:
        EngineError: matplotlib is missing. OutputError: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise EngineError(
            "Plots need matplotlib, which is not installed.",
            'Install the extra "train" in the folder of the engine: python -m pip install -e ".[train]"',
        ) from None

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    photos = [row["photos"] for row in rows]
    lines = {
        "dense attention": ("tab:red", "-", "dense_{0}"),
        "registration-guided": ("tab:blue", "-", "guided_{0}"),
        "per-view part of both": ("tab:gray", "--", "per_view_{0}"),
    }
    for axes, unit, title in zip(figure.subplots(1, 2), ("ms", "mb"), ("processor ms", "tensors, MB"), strict=True):
        for label, (color, style, key) in lines.items():
            axes.plot(
                photos, [row[key.format(unit)] for row in rows], style, color=color, marker="o", ms=4, label=label
            )
        if unit == "ms":
            axes.set_yscale("log")
            beyond = [row["guided_ms"] - row["per_view_ms"] for row in rows]
            axes.plot(photos, beyond, ":", color="tab:blue", marker="o", ms=4, label="guided minus per-view")
        axes.set(xlabel="photos", xscale="log", title=title)
        axes.set_xticks(photos, [str(count) for count in photos], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
