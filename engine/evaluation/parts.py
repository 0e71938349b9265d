"""Lids, gaze and mouth of a head against the truth: synthetic people who do what their one photo does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from engine.arkit import ARKIT_NAMES
from engine.evaluation.angles import seen_face
from engine.evaluation.metrics import psnr
from engine.evaluation.synthetic import drawn, over_white
from engine.heads import load_head
from engine.heads.parametric import JOINTS, ParametricHead
from engine.models.head_gaussians import HeadGaussians
from engine.models.parts import close_lids, furnish
from engine.models.surface import surface
from engine.perceptual import LPIPS
from engine.photos.photo import CROP
from engine.progress import Progress
from engine.synthetic import HELD_OUT, SyntheticSample, act
from engine.synthetic.portraits import true_tracking

PARTS: Mapping[str, tuple[Mapping[str, float], tuple[str, ...]]] = {
    "eyes closed": ({"eyeBlinkLeft": 1, "eyeBlinkRight": 1}, ("eyes", "lids")),
    "gaze 20°": ({"eyeLookOutLeft": 0.67, "eyeLookInRight": 0.67}, ("eyes", "lids")),
    "jaw 0.5": ({"jawOpen": 0.5}, ("lips", "teeth", "tongue")),
}
"""What is done, and the regions whose surroundings are compared."""
AROUND, SMALLEST = 8, 72  # px around a part; px of its smaller side, LPIPS needs 63


@dataclass(frozen=True)
class PartScore:
    """One part of one person: PSNR in dB and LPIPS in its rectangle, over white at 512²."""

    part: str
    seed: int
    psnr: float
    lpips: float


def compare_parts(people: int, count: int, progress: Progress, drawn: bool = True) -> list[PartScore]:
    """``surface`` from one frontal photo at rest, exact tracking, no refinement, on the first held-out people.

    Args:
        count: Gaussians on the surface. drawn: whether parts are drawn as the product does, or left as photographed.
    """
    head, lpips, scores = load_head(), LPIPS(), []
    progress.start("parts")
    for done, seed in enumerate(HELD_OUT[:people], start=1):
        instants = [(np.zeros(len(ARKIT_NAMES)), np.zeros((len(JOINTS), 3)))]
        instants += [(_expression(keys), np.zeros((len(JOINTS), 3))) for keys, _ in PARTS.values()]
        person = act(seed, instants, CROP, frontal=True)
        made = _reconstruct(person, head, count, drawn)
        for view, (part, (_, regions)) in enumerate(PARTS.items(), start=1):
            scores.append(_score(made, person, head, view, part, regions, lpips))
        progress.update(done / people)
    progress.finish()
    return scores


def _expression(keys: Mapping[str, float]) -> np.ndarray:
    weights = np.zeros(len(ARKIT_NAMES))
    for name, weight in keys.items():
        weights[ARKIT_NAMES.index(name)] = weight
    return weights


def _reconstruct(person: SyntheticSample, head: ParametricHead, count: int, drawn: bool) -> HeadGaussians:
    photo = seen_face(person, 0)
    made = surface([photo], true_tracking(person, [0]), head, Progress(), count)
    return close_lids(furnish(made, [photo], head), head) if drawn else made


@torch.no_grad()
def _score(
    made: HeadGaussians,
    person: SyntheticSample,
    head: ParametricHead,
    view: int,
    part: str,
    regions: Sequence[str],
    lpips: LPIPS,
) -> PartScore:
    box = (..., *_box(person, head, view, regions))
    ours, theirs = drawn(made, person, view, CROP)[box], over_white(person, view).float()[box]
    return PartScore(part, person.seed, psnr(ours, theirs), float(lpips(ours, theirs)))


def _box(person: SyntheticSample, head: ParametricHead, view: int, regions: Sequence[str]) -> tuple[slice, slice]:
    """The rectangle around the regions' vertices in a view."""
    inside = np.logical_or.reduce([head.regions[name] for name in regions])
    viewmat = person.viewmats[view]
    camera = person.vertices[view][inside].astype(np.float64) @ viewmat[:3, :3].T + viewmat[:3, 3]
    pixels = camera @ person.Ks[view].T
    pixels = pixels[:, :2] / pixels[:, 2:]
    low, high = pixels.min(axis=0) - AROUND, pixels.max(axis=0) + AROUND
    grow = np.maximum(SMALLEST - (high - low), 0) / 2
    low = np.clip(low - grow, 0, CROP - SMALLEST).astype(int)
    high = np.clip(np.maximum(high + grow, low + SMALLEST), 0, CROP).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])
