"""Heads from all around against the truth: synthetic people at rest, seen from where their photos did not see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from engine.arkit import ARKIT_NAMES
from engine.device import CPU
from engine.evaluation.metrics import overlap
from engine.evaluation.synthetic import SHRINK, compared, draw, held_out, over_white, planes
from engine.heads import load_head
from engine.heads.parametric import JOINTS
from engine.models.head_gaussians import HeadGaussians
from engine.models.parts import furnish
from engine.perceptual import LPIPS
from engine.photos.photo import CROP, MARGIN, Photo
from engine.progress import Progress
from engine.synthetic import SyntheticSample, act
from engine.synthetic.portraits import portrait, true_tracking
from engine.systems import system, systems

SOURCES = ((5, 3), (-35, 0), (35, 0), (0, 20))
"""Yaw and pitch in degrees from where the photos are taken; of fewer photos, the first."""
TARGETS = ((-15, 0), (20, 20), (45, 0), (-50, -25), (75, 0), (-75, 25), (120, 0), (-150, -25), (180, 0), (-120, 25))
BINS = ((0, 30), (30, 60), (60, 90), (90, 180))
"""Of the targets' yaw in degrees, to either side."""


@dataclass(frozen=True)
class AngleScore:
    """One system's head of one person from one bin of yaw: means over its targets; IoU of the outlines."""

    system: str
    seed: int
    bin: str
    psnr: float
    ssim: float
    lpips: float
    iou: float


def compare_angles(
    people: int,
    photos: int,
    count: int,
    progress: Progress,
    names: Sequence[str] | None = None,
    device: torch.device = CPU,
) -> list[AngleScore]:
    """Whole heads as the product furnishes them, without refinement, on the first held-out people; tracking is exact.

    Args:
        photos: 1 to 4. count: Gaussians on the surface. names: of the systems; all, if left out.
        device: of the networks.

    Raises:
        EngineError: there are not so many held-out people.
    """
    seeds, head, lpips, scores = held_out(people), load_head(), LPIPS(), []
    silent = Progress(is_cancelled=progress.is_cancelled)
    progress.start("all around")
    at_rest = [(np.zeros(len(ARKIT_NAMES)), np.zeros((len(JOINTS), 3)))] * (len(SOURCES) + len(TARGETS))
    directions = [(np.radians(yaw), np.radians(pitch)) for yaw, pitch in SOURCES + TARGETS]
    for done, seed in enumerate(seeds, start=1):
        person = act(seed, at_rest, CROP, directions=directions)
        shown = [seen_face(person, view) for view in range(photos)]
        for name in names or systems():
            tracked = true_tracking(person, range(photos))
            made = system(name).reconstruct(shown, tracked, head, silent, count, device=device)
            scores += _scores(furnish(made, shown, head), person, name, lpips)
        progress.update(done / len(seeds))
    progress.finish()
    return scores


def seen_face(person: SyntheticSample, view: int) -> Photo:
    """A view as a photo, with the true landmarks."""
    landmarks = np.concatenate([person.landmarks[view] + MARGIN, np.zeros((len(person.landmarks[view]), 1))], axis=1)
    return replace(portrait(person, view), landmarks=landmarks.astype(np.float32))


def bins(scores: Sequence[AngleScore]) -> dict[str, dict[str, dict[str, float]]]:
    """System -> bin -> figure, means over the people."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, where in dict.fromkeys((score.system, score.bin) for score in scores):
        mine = [score for score in scores if (score.system, score.bin) == (name, where)]
        means = {
            figure: float(np.mean([getattr(s, figure) for s in mine])) for figure in ("psnr", "ssim", "lpips", "iou")
        }
        found.setdefault(name, {})[where] = means
    return found


@torch.no_grad()
def _scores(made: HeadGaussians, person: SyntheticSample, system: str, lpips: LPIPS) -> Iterator[AngleScore]:
    for low, high in BINS:
        figures = []
        for target, (yaw, _) in enumerate(TARGETS):
            if low <= abs(yaw) < high or abs(yaw) == high == BINS[-1][1]:
                figures.append(_compare(made, person, len(SOURCES) + target, lpips))
        yield AngleScore(system, person.seed, f"{low}-{high}", *np.mean(figures, axis=0).tolist())


def _compare(made: HeadGaussians, person: SyntheticSample, view: int, lpips: LPIPS) -> tuple[float, ...]:
    image, alpha = draw(made.gaussians, made.rig, person, view, CROP // SHRINK, torch.ones(3))
    truth = functional.avg_pool2d(planes(torch.from_numpy(person.alpha[view])[..., None]), SHRINK)[0, 0]
    goal = functional.avg_pool2d(over_white(person, view), SHRINK).float()
    scores = compared(planes(image.clamp(0, 1)), goal, lpips)
    return scores.psnr, scores.ssim, scores.lpips, overlap(alpha[..., 0], truth)
