"""What a network is trained for: photos of a person in, the same person from elsewhere with another expression out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from engine.device import moved
from engine.evaluation.synthetic import draw, floats, planes
from engine.gaussians.gaussians import BoundGaussians
from engine.heads import load_head
from engine.heads.parametric import MOUTH, ParametricHead
from engine.heads.rig import make_rig
from engine.models.learned.posed_images import PaintedTexture, PosedImages, assemble, driving_code
from engine.perceptual import LPIPS
from engine.ssim import ssim_map
from engine.synthetic.portraits import true_tracking
from engine.synthetic.shelf import NOTHING, ShelvedSample
from engine.systems import make_system, network
from engine.training.config import TrainConfig
from engine.training.data import People
from engine.training.painted_textures import COUNTS, painted_texture, sources

TARGETS = 3  # views compared per step: one of the sources, the others new
OFFSET_UNIT = 0.01  # m; offsets of this size cost 1


class Objective(nn.Module):
    """One system with its data and losses.

    People come from the CPU, where they are painted; pictures and tracking follow the network, and stay there.

    Attributes:
        network: what is trained.
    """

    def __init__(self, system: str, preset: str, config: TrainConfig):
        super().__init__()
        self.head = load_head()
        torch.manual_seed(config.seed)
        self.learned = make_system(system, preset, self.head, config.variant)
        self.learned.half = True
        self.config, self.people = config, People(system, config.data, config.samples)
        self.losses = network(system).losses
        self.perceptual = [LPIPS()]  # in a list, so that it is no part of the module

    @property
    def network(self) -> nn.Module:
        return self.learned.network

    def data(self, start: int, rank: int, world: int) -> Iterator[list[ShelvedSample]]:
        """See :meth:`engine.training.data.People.batches`."""
        config = self.config
        return self.people.batches(config.batch_size, config.seed, start, config.workers, rank, world)

    def forward(self, batch: Sequence[ShelvedSample], step: int) -> dict[str, torch.Tensor]:
        """Weighted losses, to be summed; entries "metric/…" are only for the log."""
        rng = np.random.default_rng([self.config.seed, step])
        terms: dict[str, list[torch.Tensor]] = {}
        for sample in batch:
            for name, value in self._one(sample, rng).items():
                terms.setdefault(name, []).append(value)
        return {name: torch.stack(values).mean() for name, values in terms.items()}

    def _one(self, sample: ShelvedSample, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        order = sources(sample)
        count = int(rng.choice(COUNTS))
        shown, others = order[:count], order[count:]
        folder = None if self.config.samples is None else self.config.samples / "coats"
        device = self.learned.device
        with torch.no_grad():
            painted = painted_texture(sample, shown, self.head, folder)
            sample = sample.shrunk(self.learned.photo_size)
            taken = moved(posed_sample(sample, shown, painted, self.head), device)
        encoded, rig = self.learned.encode(taken), taken.rig
        new = self.people.targets(sample, others, TARGETS - 1, rng)
        targets = rng.permutation(np.concatenate((rng.choice(shown, 1), new)))
        nothing = torch.zeros((), device=device)
        weights, sums = self.losses, dict.fromkeys(("l1", "ssim", "matte", "mouth"), nothing)
        known: dict[bytes, BoundGaussians] = {}
        judged = int(rng.integers(len(targets)))
        lpips, perceptual = nothing, self.perceptual[0].to(device)
        for number, view in enumerate(targets):
            expression, rotations = floats(sample.expression[view], sample.joint_rotations[view])
            code = driving_code(rig, expression, rotations)
            key = code.numpy().tobytes() if self.learned.moves else b""
            if key not in known:
                known[key] = self.learned.animate(encoded, code.to(device))
            background = torch.from_numpy(rng.uniform(0, 1, 3).astype(np.float32)).to(device)
            image, alpha = draw(known[key], rig, sample, view, sample.rgb.shape[1], background)
            goal, matte = picture(sample, view, background)
            error = (image - goal).abs()
            sums["l1"] = sums["l1"] + error.mean()
            sums["ssim"] = sums["ssim"] + 1 - ssim_map(planes(image), planes(goal)).mean()
            sums["matte"] = sums["matte"] + (alpha - matte).abs().mean()
            if weights.mouth:
                mouth = self._mouth(sample, view).to(device)
                sums["mouth"] = sums["mouth"] + (error * mouth).sum() / image.numel()
            if number == judged:
                lpips = perceptual(planes(image), planes(goal)).mean()
        terms = {name: getattr(weights, name) * value / len(targets) for name, value in sums.items()}
        terms["lpips"] = weights.lpips * lpips
        still = next(iter(known.values()))
        terms["offset"] = weights.offset * (still.offsets / OFFSET_UNIT).square().sum(1).mean()
        return terms

    def _mouth(self, sample: ShelvedSample, view: int) -> torch.Tensor:
        """[S, S, 1], 1 at pixels of the mouth."""
        faces = self.head.face_region(*MOUTH)
        triangle = sample.triangle[view].astype(np.int64)
        inside = (triangle != NOTHING) & faces[np.where(triangle == NOTHING, 0, triangle)]
        return torch.from_numpy(inside).float()[..., None]


def posed_sample(
    sample: ShelvedSample, views: Sequence[int] | np.ndarray, texture: PaintedTexture, head: ParametricHead
) -> PosedImages:
    """Some views of a sample as a network sees photos, with the exact tracking and the head painted with them."""
    tracked = true_tracking(sample, list(views))
    pictures = [picture(sample, view, torch.ones(3)) for view in views]
    return assemble(
        make_rig(head, texture.neutral.numpy(), sample.joints),
        texture,
        [image.permute(2, 0, 1) for image, _ in pictures],
        [matte.permute(2, 0, 1) for _, matte in pictures],
        tracked.views,
        [sample.Ks[view] for view in views],
    )


def picture(sample: ShelvedSample, view: int, background: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A view over another background: [S, S, 3] RGB and [S, S, 1] alpha, 0..1, on the background's device."""
    arrays = sample.alpha[view], sample.rgb[view], sample.background
    alpha, image, own = (torch.from_numpy(each).to(background.device) for each in arrays)
    alpha = alpha.float()[..., None] / 255
    return image.float() / 255 + (1 - alpha) * (background - own), alpha
