"""``evaluate --held-out``: every system, all around, and every drawn part against synthetic people's truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.table import Table
from rich.text import Text

from engine.device import CPU
from engine.evaluation.angles import AngleScore, bins, compare_angles
from engine.evaluation.parts import PartScore, compare_parts
from engine.evaluation.synthetic import HeldOutScore, compare_all
from engine.progress import Progress

FIGURES = ("psnr", "ssim", "lpips")


@dataclass(frozen=True)
class HeldOut:
    """systems: views like the photos', in other expressions. angles: from all around. parts: lids, gaze and mouth."""

    systems: Sequence[HeldOutScore]
    angles: Sequence[AngleScore]
    parts: Sequence[PartScore]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dump``: per system its means, ``bins`` of yaw and people, and the parts."""
        around, systems = bins(self.angles), {}
        for name in dict.fromkeys(score.system for score in self.systems):
            mine = [score for score in self.systems if score.system == name]
            people = [{"seed": score.seed, "photos": score.photos} | vars(score.scores) for score in mine]
            means = {figure: float(np.mean([vars(score.scores)[figure] for score in mine])) for figure in FIGURES}
            systems[name] = means | {"bins": around.get(name, {}), "people": people}
        return {"systems": systems, "parts": [vars(score) for score in self.parts]}

    def tables(self) -> list[Table]:
        """The means of all three."""
        systems = [(s.system, (s.scores.psnr, s.scores.ssim, s.scores.lpips)) for s in self.systems]
        angles = [(f"{s.system}, {s.bin}°", (s.psnr, s.ssim, s.lpips, s.iou)) for s in self.angles]
        parts = [(part.part, (part.psnr, part.lpips)) for part in self.parts]
        return [
            _means(("system", "PSNR dB", "SSIM", "LPIPS"), systems),
            _means(("all around, yaw", "PSNR dB", "SSIM", "LPIPS", "IoU"), angles),
            _means(("part", "PSNR dB", "LPIPS"), parts),
        ]


def evaluate_held_out(people: int, photos: int, count: int, progress: Progress, device: torch.device = CPU) -> HeldOut:
    """Compare all on the first held-out people.

    Args:
        photos: 1 to 4. count: Gaussians on the surface. device: of the networks.

    Raises:
        EngineError: there are not so many held-out people.
    """
    return HeldOut(
        compare_all(people, photos, count, progress, device),
        compare_angles(people, photos, count, progress, device=device),
        compare_parts(people, count, progress),
    )


def _means(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> Table:
    """A table of the means of all rows that begin with the same name."""
    table = Table(*columns)
    for name in dict.fromkeys(name for name, _ in rows):
        figures = zip(*(values for other, values in rows if other == name), strict=True)
        table.add_row(Text(name), *(f"{sum(column) / len(column):.4g}" for column in figures))
    return table
