"""What a pixel on the head shows, by its colour: the face's skin, the head's hair, or something else; and its light."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import expit

from engine.curves import smoothstep
from engine.models.surface.lighting import fit_light, harmonics

UNLIKE = (0.1, 0.2)  # of sRGB's range off a kind's colour, up to which it may be of it, and from which it is not
SHADE, GLOSS = (0.5, 1.2), (0.4, 2.0)  # gains under which skin is still skin, and hair hair
HAIR = (0.5, 0.75)  # of the way from the skin's colour to the hair's
HAIRED, APART = 0.15, 2.0  # a head is shaved where less of the scalp than this is unlike skin, and its tones are off
# the skin's by less than so many standard deviations
DARKEST = 0.02  # of sRGB's range: below it only noise tells colours apart
NOISE, FAR_OFF = (0.02, 0.004, 0.004), 4  # added to the tones' variances; standard deviations that count
FEWEST = 50  # texels of a kind, to learn from them
EVERY = 7  # of the texels that tell the light
LEAST_FACING, SHADED = 0.25, (0.6, 1.15)  # z of normals at least, and shade at least and most: no photo shows more


def kinds(
    colors: np.ndarray, height: np.ndarray, face: np.ndarray, scalp: np.ndarray, well: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[N] and [N] 0..1: how much a texel's colour is that of the face's skin, and that of the hair.

    On the scalp the likelier of the two decides (quadratic discriminant analysis): light hair has the colour of shaded
    skin, and only how both spread tells them apart. Elsewhere a third thing may be seen, so that only what is near the
    hair's usual colour is hair.

    Args:
        colors: [N, 3]. height: [N] metres. face: [N] bool, texels of the face's plain skin that are seen well.
        scalp: [N] bool, all of the scalp. well: [N] bool, what of it is seen well.
    """
    if face.sum() < FEWEST:
        return np.ones(len(colors)), np.zeros(len(colors))
    off = unlike(np.median(colors[face], axis=0), colors, SHADE)
    bare = 1 - smoothstep(off, *UNLIKE)
    well = scalp & well
    crown = well & (height > (np.median(height[well]) if well.any() else 0))  # below, a forehead may be
    if crown.sum() < FEWEST:
        return bare, np.zeros(len(colors))
    tones = _tones(colors)
    skin, hair = _spread(tones[face]), _spread(tones[crown])
    apart = np.linalg.norm((hair[0] - skin[0]) / np.sqrt(np.diag(skin[1])))
    if apart < APART and (off[well] > UNLIKE[0]).mean() < HAIRED:
        return bare, np.zeros(len(colors))
    likelier = expit(_likelihood(tones, *hair) - _likelihood(tones, *skin))
    usual = np.median(colors[crown], axis=0)
    too = unlike(usual, colors, GLOSS)
    near = smoothstep(off / np.maximum(off + too, 1e-6), *HAIR) * (1 - smoothstep(too, *UNLIKE))
    return np.where(scalp, 1 - likelier, bare), np.where(scalp, likelier, near)


def _tones(colors: np.ndarray) -> np.ndarray:
    """[N, 3] how light colours [N, 3] are, and which, both as logarithms."""
    logs = np.log(colors.clip(DARKEST))
    return np.stack([logs.mean(axis=1), logs[:, 0] - logs[:, 1], logs[:, 1] - logs[:, 2]], axis=1)


def _spread(tones: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [3] and covariance [3, 3] of tones [M, 3], without those far off the median."""
    off = np.abs(tones - np.median(tones, axis=0))
    kept = (off <= FAR_OFF * 1.48 * np.median(off, axis=0) + 1e-6).all(axis=1)
    kept = kept if kept.sum() > len(tones) / 4 else np.ones(len(tones), bool)
    return tones[kept].mean(axis=0), np.cov(tones[kept].T) + np.diag(NOISE)


def _likelihood(tones: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """[N] logarithm of a normal density at tones [N, 3], up to a constant."""
    off = tones - mean
    return -0.5 * (np.einsum("ni,ij,nj->n", off, np.linalg.inv(covariance), off) + np.linalg.slogdet(covariance)[1])


def unlike(kind: np.ndarray, colors: np.ndarray, lit: tuple[float, float]) -> np.ndarray:
    """[N] how far colours [N, 3] are from one kind's [3], in shadow or light within limits."""
    gain = np.clip(colors @ kind / max(kind @ kind, 1e-6), *lit)
    return np.abs(colors - gain[:, None] * kind).max(axis=1)


def shade_of(normals: np.ndarray, colors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[N] how bright the light makes skin that faces along ``normals`` [N, 3], against its mean.

    Args:
        colors: [N, 3]. weights: [N] 0..1, how well a texel's colour is known and that it is skin.
    """
    picks = np.flatnonzero(weights > 0.5)[::EVERY]
    if len(picks) < FEWEST:
        return np.ones(len(weights))
    grey = colors.mean(axis=1, keepdims=True).clip(0.02)
    held = np.column_stack([normals[:, :2], np.maximum(normals[:, 2], LEAST_FACING)])
    held /= np.linalg.norm(held, axis=1, keepdims=True)
    middle = np.full((len(picks), 1), np.median(grey[picks]))
    light = fit_light(grey[picks], middle, held[picks], weights[picks])
    log = (harmonics(torch.from_numpy(held)) @ torch.from_numpy(light)).numpy()[:, 0]
    return np.exp(np.clip(log, *np.log(SHADED)))
