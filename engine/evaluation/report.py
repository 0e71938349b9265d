"""The evaluation's result: one record, its JSON form and its table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from engine.evaluation.metrics import Scores


@dataclass(frozen=True)
class FrameReport:
    """One target frame: its name and what both drives reach on it."""

    name: str
    tracked: Scores
    landmark: Scores


@dataclass(frozen=True)
class Report:
    """What an avatar reaches on frames that its reconstruction never saw.

    Attributes:
        tracked, landmark: means over the target frames, per drive.
        source_view: mean over the source photos, rendered in their own views.
        csim_real: what real frames reach: mean cosine of target embeddings against source embeddings.
        seconds: wall-clock per stage.
        sources: names of the source photos.
        frames: one entry per target frame, in order.
        set_aside: photo or frame -> why it was not used.
    """

    tracked: Scores
    landmark: Scores
    source_view: Scores
    csim_real: float
    seconds: Mapping[str, float]
    sources: tuple[str, ...]
    frames: tuple[FrameReport, ...]
    set_aside: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dump``; what could not be measured is None."""
        return {
            "tracked": _scores_json(self.tracked),
            "landmark": _scores_json(self.landmark),
            "source_view": _scores_json(self.source_view),
            "csim_real": _number(self.csim_real),
            "seconds": dict(self.seconds),
            "sources": list(self.sources),
            "frames": [
                {"name": f.name, "tracked": _scores_json(f.tracked), "landmark": _scores_json(f.landmark)}
                for f in self.frames
            ],
            "set_aside": dict(self.set_aside),
        }

    def table(self) -> Table:
        """Regions as rows, drives as groups of columns."""
        table = Table(title="Self-reenactment", caption=self._caption())
        table.add_column("")
        for drive in ("tracked", "landmark", "source view"):
            for column in ("PSNR", "SSIM", "LPIPS"):
                table.add_column(f"{drive}\n{column}", justify="right")
        drives = (self.tracked, self.landmark, self.source_view)
        for region in self.tracked.regions:
            cells = []
            for scores in drives:
                s = scores.regions[region]
                cells += [f"{s.psnr:.2f}", f"{s.ssim:.4f}", f"{s.lpips:.4f}"]
            table.add_row(region.replace("_", ", "), *cells)
        table.add_section()
        for label, key in (("matte IoU", "iou"), ("AKD px", "akd"), ("CSIM", "csim"), ("CSIM source", "csim_source")):
            table.add_row(label, *(cell for scores in drives for cell in (f"{getattr(scores, key):.3f}", "", "")))
        return table

    def _caption(self) -> str:
        parts = [f"{len(self.sources)} source and {len(self.frames)} target frames"]
        parts.append(f"CSIM between real frames {self.csim_real:.3f}")
        missed = self.tracked.faces_missed, self.landmark.faces_missed
        if any(missed):
            parts.append(f"no face found on {missed[0]} tracked and {missed[1]} landmark renders")
        if self.set_aside:
            parts.append(f"{len(self.set_aside)} frames set aside")
        return "; ".join(parts) + "."


def _scores_json(scores: Scores) -> dict[str, Any]:
    out: dict[str, Any] = {
        name: {key: _number(value) for key, value in asdict(region).items()} for name, region in scores.regions.items()
    }
    for key in ("iou", "akd", "csim", "csim_source"):
        out[key] = _number(getattr(scores, key))
    return {**out, "faces_missed": scores.faces_missed}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
