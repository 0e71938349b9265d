"""A sequence of Gaussians as a Gaussian eigenmodel: a mean, joint directions, and a network that asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from engine.gaussians.eigenbasis import STEPS, Eigenbasis
from engine.gaussians.gaussians import BoundGaussians
from engine.models.kit.eigenbasis import change

LAYERS, WIDTH, SLOPE, DROPOUT = 4, 256, 0.1, 0.2  # of the regressor (arXiv 2603.15811, distillation)
RATE, BATCH = 1e-3, 30  # of its training (arXiv 2603.15811, distillation)
TRAINING_STEPS = 600  # ours: the paper's 40 000 also move means and bases under a photometric loss
FOLDS = 4  # parts of a sequence, each told by a regressor that saw the others alone
CHANCE = 2.5  # correlations with held-out frames that lie within so many standard deviations of chance count as none
PLACE = 7  # the first attributes, offset and quaternion, say where a Gaussian is; the others how it looks
RANK = 1e-5  # singular values below this share of the largest are rounding errors


@dataclass(frozen=True)
class GEM:
    """MATCH's Gaussian eigenmodel of one person, G = μ + B k (arXiv 2603.15811).

    Attributes:
        mean: N Gaussians in their triangles' frames.
        basis: [K, N, 14] float32, directions in the order and units of
            :class:`engine.gaussians.eigenbasis.Eigenbasis`, orthonormal in its ``STEPS``; the strongest first.
        coefficients: [F, K] float32, of the frames that it was made from.
    """

    mean: BoundGaussians
    basis: torch.Tensor
    coefficients: torch.Tensor

    def at(self, coefficients: torch.Tensor) -> BoundGaussians:
        """The N Gaussians under coefficients [K]."""
        own = torch.eye(len(self.basis), device=self.basis.device)
        return Eigenbasis(self.basis, own).apply(self.mean, coefficients)


def eigenmodel(frames: Sequence[BoundGaussians], components: int, still: torch.Tensor, painted: torch.Tensor) -> GEM:
    """Mean and joint principal directions of a sequence (MATCH's distillation, arXiv 2603.15811).

    The directions are those of the changes from the mean, all attributes together, each in units of ``STEPS`` (ours:
    the paper does not say how it weighs metres against colours). Opacities and scales are averaged as logits and
    logarithms.

    Args:
        frames: F times the same N Gaussians, un-posed, on the same triangles and anchors.
        components: K at most; fewer where the frames do not span so many.
        still: [N] bool, Gaussians that keep their mean. painted: [N] bool, those that move, but whose scale, opacity
            and colour keep their mean.
    """
    steps = frames[0].offsets.new_tensor(STEPS)
    average = torch.stack([change(frames[0], frame) for frame in frames]).mean(0)
    mean = Eigenbasis(average[None], average.new_ones(1, 1)).apply(frames[0], average.new_ones(1))
    free = torch.ones_like(average, dtype=torch.bool)
    free[still] = False
    free[painted, PLACE:] = False
    changes = torch.stack([change(mean, frame) * free / steps for frame in frames]).flatten(1)  # [F, A]
    # The SVD of [F, A] by way of the small [F, F]; what is 0 in all frames is 0 to the bit in all directions.
    wide = changes.double()
    squares, turns = torch.linalg.eigh(wide @ wide.T)
    strengths, turns = squares.clamp_min(0).sqrt().flip(0)[:components], turns.flip(1)[:, :components]
    real = strengths > RANK * strengths[0]
    strengths, turns = strengths[real], turns[:, real]
    basis = ((turns / strengths).T @ wide).float()  # [K, A]
    return GEM(mean, basis.unflatten(1, (-1, len(STEPS))) * steps, (turns * strengths).float())


class Regressor(nn.Module):
    """From motion features to coefficients: the paper's MLP, that hears nothing but motion as the frames had it.

    Features are relative to the neutral: keys and joints at 0. A mix of keys that no frame shows acts as the nearest
    one that they do show: features are projected onto the frames' span and kept within its range (ours: a clip does not
    move all keys one by one, and what an MLP makes of the others is chance).

    Args:
        features: [F, M], the frames'. coefficients: [F, K], their answers; both give spans and units, nothing more.

    Attributes:
        trust: [K] 0..1, factors of the answers; 0 where motion does not tell the coefficient, which then stays 0.
    """

    span: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    units: torch.Tensor
    trust: torch.Tensor

    def __init__(self, features: torch.Tensor, coefficients: torch.Tensor):
        super().__init__()
        _, strengths, directions = torch.linalg.svd(features, full_matrices=False)
        span = directions[strengths > RANK * strengths[0].clamp_min(RANK)].T  # [M, R]
        found = features @ span
        self.register_buffer("span", span)
        self.register_buffer("low", found.amin(0).clamp(max=0))
        self.register_buffer("high", found.amax(0).clamp(min=0))
        units = torch.stack((found.square().mean().sqrt(), coefficients.square().mean().sqrt()))
        self.register_buffer("units", torch.where(units > 0, units, 1.0))  # 1 where nothing moves at all
        self.register_buffer("trust", torch.ones(coefficients.shape[1]))
        layers: list[nn.Module] = []
        width = span.shape[1]
        for _ in range(LAYERS):
            layers += [nn.Linear(width, WIDTH), nn.LeakyReLU(SLOPE), nn.Dropout(DROPOUT)]
            width = WIDTH
        self.mlp = nn.Sequential(*layers, nn.Linear(width, coefficients.shape[1]))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[..., M] to [..., K]."""
        heard = torch.minimum(torch.maximum(features @ self.span, self.low), self.high)
        return self.mlp(heard / self.units[0]) * self.units[1] * self.trust


def train_regressor(
    features: torch.Tensor,
    coefficients: torch.Tensor,
    seed: int,
    steps: int = TRAINING_STEPS,
    on_step: Callable[[float], None] = lambda fraction: None,
) -> Regressor:
    """A regressor fitted to the frames of an eigenmodel by least squares of the coefficients.

    The basis is orthonormal, so that errors count as they do in the Gaussians. What changes from frame to frame for
    other reasons, as where the camera stands, must not be taken for motion: each part of the sequence is told from the
    others, and a coefficient is trusted as far as that agrees (ours).

    Args:
        features: [F, M] (:func:`engine.gaussians.eigenbasis.motion_features`), F at least 2, in the order of time.
        coefficients: [F, K]. steps: of each of the trainings.
        on_step: called after every step with the share that is done.

    Returns:
        The regressor, in ``eval`` mode and without gradients.
    """
    everything = torch.arange(len(features), device=features.device)
    folds = everything.chunk(FOLDS)
    done = iter(range(1, steps * (len(folds) + 1) + 1))
    told = torch.zeros_like(coefficients)

    def fit(rows: torch.Tensor) -> Regressor:
        return _fit(
            features[rows], coefficients[rows], seed, steps, lambda: on_step(next(done) / steps / (len(folds) + 1))
        )

    for fold in folds:
        others = torch.ones_like(everything, dtype=torch.bool)
        others[fold] = False
        told[fold] = fit(others)(features[fold])
    regressor = fit(everything)
    regressor.trust.copy_(_trust(told, coefficients))
    return regressor


def _trust(told: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """[K] the factors 0..1 that bring answers [F, K] nearest to the truth; 0 where they may agree by chance."""
    told, true = told - told.mean(0), true - true.mean(0)
    agree, own = (told * true).sum(0), told.square().sum(0)
    correlation = agree / (own * true.square().sum(0)).sqrt().clamp_min(1e-12)
    factors = (agree / own.clamp_min(1e-12)).clamp(0, 1)
    return torch.where(correlation > CHANCE / len(true) ** 0.5, factors, 0.0)


def _fit(
    features: torch.Tensor, coefficients: torch.Tensor, seed: int, steps: int, on_step: Callable[[], None]
) -> Regressor:
    with torch.random.fork_rng(devices=()), torch.enable_grad():
        torch.manual_seed(seed)
        regressor = Regressor(features, coefficients).to(features.device)
        optimizer = torch.optim.Adam(regressor.parameters(), RATE)
        unit = regressor.units[1]
        for _ in range(steps):
            rows = torch.randperm(len(features))[:BATCH].to(features.device)
            loss = functional.mse_loss(regressor(features[rows]) / unit, coefficients[rows] / unit)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            on_step()
    return regressor.eval().requires_grad_(False)
