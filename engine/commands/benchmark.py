"""``benchmark``: how fast this machine is, its processor or its GPU."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from engine.benchmark.context import context_costs, write_plot
from engine.benchmark.cpu import benchmark
from engine.benchmark.gpu import benchmark_gpu, published, training_commands
from engine.benchmark.rows import told
from engine.commands.shared import add_json_option, check_output, show_result
from engine.progress import Progress
from engine.splatting.backends import backends


def add_arguments(parser: argparse.ArgumentParser) -> None:
    drawn_by = (f"{spec.name} on {spec.device}" for spec in backends().values())
    parser.epilog = f"Rasterisers: {', '.join(drawn_by)}."
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="what more photos cost attention, as a picture (.png)"
    )
    parser.add_argument("--gpu", action="store_true", help="measure a CUDA GPU instead; goes on where it was stopped")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmark"), metavar="DIR", help="of --gpu's table")
    add_json_option(parser)


def run(options: argparse.Namespace, progress: Progress) -> None:
    measure = _measure_gpu if options.gpu else _measure_processor
    measure(options, progress)


def _measure_processor(options: argparse.Namespace, progress: Progress) -> None:
    if options.plot:
        check_output(options.plot, (".png",))
    figures = benchmark(progress)
    costs = context_costs(progress)
    if options.plot:
        write_plot(costs, options.plot)
    show_result(options, figures | {"context": costs}, lambda: _show(figures, costs))


def _show(figures: Mapping[str, object], costs: Sequence[Mapping[str, float]]) -> None:
    table = Table(show_header=False)
    for key, value in figures.items():
        table.add_row(key, f"{value:.3g}" if isinstance(value, float) else str(value))
    context = Table(*costs[0])
    for row in costs:
        context.add_row(*(f"{value:.4g}" for value in row.values()))
    Console().print(table, context)


def _measure_gpu(options: argparse.Namespace, progress: Progress) -> None:

    rows = benchmark_gpu(options.output, progress)

    def show() -> None:
        table = Table("row", "measured", "peak GB", "published")
        for row in rows:
            peak = "" if row.peak_gb is None else f"{row.peak_gb:.1f}"
            table.add_row(row.name, told(row), peak, published(row.name))
        Console().print(table, markup=False)
        Console().print("Training runs to start:", *training_commands(), sep="\n", highlight=False, soft_wrap=True)

    show_result(options, [vars(row) for row in rows], show)
