"""Systems compared on synthetic people that no training saw: new view and new expression, against the exact truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from engine.device import CPU
from engine.errors import EngineError
from engine.evaluation.metrics import ImageScores, psnr
from engine.gaussians.binding import pose, triangle_frames
from engine.gaussians.eigenbasis import motion_features
from engine.gaussians.gaussians import BoundGaussians
from engine.heads import load_head
from engine.heads.rig import Rig
from engine.models.head_gaussians import HeadGaussians
from engine.models.spec import SystemSpec
from engine.perceptual import LPIPS
from engine.photos.photo import CROP, Photo
from engine.progress import Progress
from engine.splatting import rasterization
from engine.ssim import ssim_map
from engine.synthetic import HELD_OUT, SyntheticSample, sample
from engine.synthetic.portraits import Views, portrait, true_tracking
from engine.systems import systems
from engine.tracking.tracked import Tracked

SOURCES = 4
TARGETS = 4
SHRINK = 2  # pictures are compared at 256²: the networks' own size, and a kind one to all

System = Callable[[Sequence[Photo], Tracked], HeadGaussians]


@dataclass(frozen=True)
class HeldOutScore:
    """One system on one person from ``photos`` photos: means over the targets."""

    system: str
    seed: int
    photos: int
    scores: ImageScores


def compare_all(
    people: int, photos: int, count: int, progress: Progress, device: torch.device = CPU
) -> list[HeldOutScore]:
    """Every system of the pipeline, without refinement, on the first held-out people.

    Args:
        photos: 1 to :data:`SOURCES`. count: Gaussians on the surface. device: of the networks.

    Raises:
        EngineError: there are not so many held-out people.
    """
    seeds = held_out(people)
    head, silent = load_head(), Progress(is_cancelled=progress.is_cancelled)

    def made_by(spec: SystemSpec) -> System:
        return lambda shown, tracked: spec.reconstruct(shown, tracked, head, silent, count, device=device)

    chosen = {name: made_by(spec) for name, spec in systems().items()}
    progress.start("held-out people")
    scores = []
    for score in compare(chosen, seeds, (photos,), LPIPS()):
        scores.append(score)
        progress.update(len(scores) / (people * len(chosen)))
    progress.finish()
    return scores


def held_out(people: int) -> range:
    """Seeds of the first held-out people.

    Raises:
        EngineError: there are not so many.
    """
    if not 1 <= people <= len(HELD_OUT):
        raise EngineError(f"There are {len(HELD_OUT)} held-out people.", f"Choose 1 to {len(HELD_OUT)}.")
    return HELD_OUT[:people]


def compare(
    systems: dict[str, System], seeds: Iterable[int], counts: Sequence[int], lpips: LPIPS
) -> Iterable[HeldOutScore]:
    """Every system on every person, with the exact tracking, over white at 256².

    Args:
        seeds: of :data:`engine.synthetic.HELD_OUT`. counts: photos, 1 to :data:`SOURCES`.
    """
    for seed in seeds:
        person = sample(seed, SOURCES + TARGETS, CROP, same_expression=False)
        for count in counts:
            photos = [portrait(person, view) for view in range(count)]
            tracked = true_tracking(person, range(count))
            for name, system in systems.items():
                made = system(photos, tracked)
                scores = [_score(made, person, view, lpips) for view in range(SOURCES, SOURCES + TARGETS)]
                mean = ImageScores(
                    *(float(np.mean([getattr(s, f) for s in scores])) for f in ("psnr", "ssim", "lpips"))
                )
                yield HeldOutScore(name, seed, count, mean)


@torch.no_grad()
def _score(made: HeadGaussians, person: SyntheticSample, view: int, lpips: LPIPS) -> ImageScores:
    goal = functional.avg_pool2d(over_white(person, view), SHRINK)
    return compared(drawn(made, person, view), goal, lpips)


def over_white(person: SyntheticSample, view: int) -> torch.Tensor:
    """[1, 3, S, S]: the truth of a view."""
    alpha = person.alpha[view][..., None]
    return planes(torch.from_numpy(person.rgb[view] + (1 - alpha) * (1 - person.background)))


def compared(render: torch.Tensor, goal: torch.Tensor, lpips: LPIPS) -> ImageScores:
    """Two whole pictures [1, 3, S, S], 0..1."""
    return ImageScores(psnr(render, goal), float(ssim_map(render, goal).mean()), float(lpips(render, goal)))


def drawn(made: HeadGaussians, person: Views, view: int, size: int = CROP // SHRINK) -> torch.Tensor:
    """[1, 3, size, size]: a reconstructed head with its motion over white, see :func:`draw`."""
    gaussians = made.gaussians
    if made.eigenbasis is not None:
        features = motion_features(*floats(person.expression[view], person.joint_rotations[view]))
        gaussians = made.eigenbasis.apply(gaussians, features.to(gaussians.colors.device))
    image, _ = draw(gaussians, made.rig, person, view, size, gaussians.colors.new_ones(3))
    return planes(image.clamp(0, 1))


def draw(
    gaussians: BoundGaussians, rig: Rig, person: Views, view: int, size: int, background: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussians on a rig, posed as in a view and seen from there, [size, size, 3] over a colour [3], and their alpha.

    On their device, where the colour is too. Differentiable; colours may leave 0..1 as far as the Gaussians' do.
    """
    seen = person.expression[view], person.joint_rotations[view], person.viewmats[view], person.Ks[view]
    expression, rotations, viewmat, K = (each.to(background.device) for each in floats(*seen))
    rest_areas = triangle_frames(rig.neutral, rig.faces)[1]
    splats = pose(gaussians, rig.deform(expression, rotations), rig.faces, rest_areas)
    scale = size / person.rgb.shape[1]
    K = K * K.new_tensor([[scale], [scale], [1.0]])
    renders, alphas, _ = rasterization(
        splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
        viewmat[None], K[None], size, size, backgrounds=background[None],
    )  # fmt: skip
    return renders[0, ..., :3], alphas[0]


def planes(image: torch.Tensor) -> torch.Tensor:
    """[H, W, C] to [1, C, H, W]."""
    return image.permute(2, 0, 1)[None]


def floats(*arrays: np.ndarray) -> list[torch.Tensor]:
    """The same in float32."""
    return [torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for array in arrays]
