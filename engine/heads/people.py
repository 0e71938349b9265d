"""Random plausible people from MakeHuman's targets, and what is learned from them: identity basis, joint regressor."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from engine.heads.makehuman_files import read_target

IDENTITIES = 3000  # random people behind the identity basis
COMPONENTS = 80
DETAIL_SIGMA = 0.35  # of a target's full range; beyond ±1 a target is caricature
DETAIL_FOLDERS = ("cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
CARICATURE = ("pointed", "ear-shape", "trans-in", "trans-out", "trans-backward", "trans-forward", "head-angle")
OPPOSITES = {
    "decr": "incr",
    "down": "up",
    "in": "out",
    "backward": "forward",
    "concave": "convex",
    "compress": "uncompress",
}


@dataclass(frozen=True)
class Macro:
    """MakeHuman's macro targets: who somebody is in the large."""

    targets: dict[str, np.ndarray]

    def shape(self, male: float, age: float, ancestry: np.ndarray, muscle: float, weight: float) -> np.ndarray:
        """Sum of macro targets [V, 3]. All 0..1; age .19 child, .5 young adult, 1 old; ancestry [3] sums to 1."""

        def between(value: float, names: tuple[str, ...], knots: tuple[float, ...]) -> dict[str, float]:
            return {name: float(np.interp(value, knots, np.eye(len(names))[k])) for k, name in enumerate(names)}

        genders = {"female": 1 - male, "male": male}
        ages = between(age, ("child", "young", "old"), (0.1875, 0.5, 1.0))
        muscles = between(muscle, ("minmuscle", "averagemuscle", "maxmuscle"), (0.0, 0.5, 1.0))
        weights = between(weight, ("minweight", "averageweight", "maxweight"), (0.0, 0.5, 1.0))
        terms: list[tuple[str, float]] = []
        for (g, x), (a, y) in itertools.product(genders.items(), ages.items()):
            terms += [
                (f"{name}-{g}-{a}", x * y * ancestry[k]) for k, name in enumerate(("african", "asian", "caucasian"))
            ]
            terms += [
                (f"universal-{g}-{a}-{m}-{w}", x * y * u * v)
                for (m, u), (w, v) in itertools.product(muscles.items(), weights.items())
            ]
        total = np.zeros_like(next(iter(self.targets.values())))
        for name, amount in terms:
            if amount > 0:
                total += amount * self.targets[name]
        return total


def read_macro(folder: Path, count: int, keep: np.ndarray) -> Macro:
    names = [p for p in sorted(folder.glob("*.target.gz")) if "baby" not in p.name]
    return Macro({p.name.removesuffix(".target.gz"): read_target(p, count)[keep] for p in names})


def detail_axes(folder: Path, count: int, keep: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs (negative, positive) of symmetric detail deltas [K, 3]; left and right move together."""
    deltas: dict[str, np.ndarray] = {}
    for kind in DETAIL_FOLDERS:
        for path in sorted((folder / kind).glob("*.target.gz")):
            name = path.name.removesuffix(".target.gz")
            if any(word in name for word in CARICATURE):
                continue
            both = name[2:] if name[:2] in ("l-", "r-") else name
            deltas[both] = deltas.get(both, 0.0) + read_target(path, count)[keep]
    axes = []
    for name, delta in deltas.items():
        stem, _, last = name.rpartition("-")
        if last in OPPOSITES and f"{stem}-{OPPOSITES[last]}" in deltas:
            axes.append((delta, deltas[f"{stem}-{OPPOSITES[last]}"]))
        elif last not in OPPOSITES.values():
            axes.append((-delta, delta))
    return axes


def _align(shapes: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """Move every shape [S, K, 3] rigidly onto the mean, by its anchor vertices: pose is not identity."""
    mean = shapes.mean(axis=0)
    goal = mean[anchor] - mean[anchor].mean(axis=0)
    out = np.empty_like(shapes)
    for i, shape in enumerate(shapes):
        own = shape[anchor] - shape[anchor].mean(axis=0)
        u, _, vt = np.linalg.svd(own.T @ goal)
        turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
        out[i] = (shape - shape[anchor].mean(axis=0)) @ turn + mean[anchor].mean(axis=0)
    return out


def identity_basis_of(
    neutral: np.ndarray, macro: Macro, axes: list, head: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PCA over random people. Returns the mean [K, 3], the basis [I, K, 3] per sigma and 400 samples [S, K, 3]."""
    rng = np.random.default_rng(seed)
    details = np.stack([np.stack(pair) for pair in axes])  # [A, 2, K, 3]
    shapes = np.empty((IDENTITIES, *neutral.shape), np.float32)
    for i in range(IDENTITIES):
        shape = neutral + macro.shape(
            male=rng.beta(0.7, 0.7),
            age=rng.uniform(0.4, 1.0),
            ancestry=rng.dirichlet([0.6, 0.6, 0.6]),
            muscle=np.clip(rng.normal(0.5, 0.2), 0, 1),
            weight=np.clip(rng.normal(0.5, 0.22), 0, 1),
        )
        amounts = np.clip(rng.normal(0, DETAIL_SIGMA, len(axes)), -1, 1)
        sides = np.stack([np.maximum(-amounts, 0), np.maximum(amounts, 0)], axis=1)
        shapes[i] = shape + np.tensordot(sides, details, axes=([0, 1], [0, 1]))
    shapes = _align(shapes, head)
    mean = shapes.mean(axis=0)
    # The face counts more than the shoulders, whose build would otherwise take the leading components.
    importance = np.where(head, 1.0, 0.2)[:, None]
    centred = ((shapes - mean) * importance).reshape(IDENTITIES, -1)
    values, vectors = np.linalg.eigh(centred @ centred.T / IDENTITIES)
    order = np.argsort(values)[::-1][:COMPONENTS]
    scores = vectors[:, order] * np.sqrt(IDENTITIES)  # unit variance
    basis = np.tensordot(scores, shapes - mean, axes=(0, 0)) / IDENTITIES
    return mean, basis, shapes[:400]


def joint_regressor_of(samples: np.ndarray, joints: np.ndarray, near: int = 48) -> np.ndarray:
    """[J, K] affine weights that find the joints in shaped vertices: ridge over sampled people."""
    regressor = np.zeros((joints.shape[1], samples.shape[1]))
    mean = samples.mean(axis=0)
    for j in range(joints.shape[1]):
        _, pick = cKDTree(mean).query(joints[:, j].mean(axis=0), k=near)
        rows = (samples[:, pick] - joints[:, j : j + 1]).transpose(0, 2, 1).reshape(-1, near)
        # minimise |rows w|² + λ|w|² with sum(w) = 1: one solve, then normalise
        gram = rows.T @ rows / len(rows)
        w = np.linalg.solve(gram + 1e-4 * np.trace(gram) * np.eye(near) / near, np.ones(near))
        regressor[j, pick] = w / w.sum()
    return regressor
