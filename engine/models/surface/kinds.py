"""What a pixel on the head shows, by its colour: the face's skin, the head's hair, or something else; and its light."""

from __future__ import annotations

import numpy as np
import torch

from engine.curves import smoothstep
from engine.models.surface.lighting import fit_light, harmonics

UNLIKE = (0.1, 0.2)  # of sRGB's range off a kind's colour, up to which it may be of it, and from which it is not
SHADE, GLOSS = (0.5, 1.2), (0.4, 2.0)  # gains under which skin is still skin, and hair hair
HAIR = (0.5, 0.75)  # of the way from the skin's colour to the hair's
HAIRED = 0.15  # of the scalp that is seen, that must not be skin, or the head is shaved
FEWEST = 50  # texels of a kind, to learn from them
EVERY = 7  # of the texels that tell the light
LEAST_FACING, SHADED = 0.25, (0.6, 1.15)  # z of normals at least, and shade at least and most: no photo shows more


def kinds(colors: np.ndarray, face: np.ndarray, scalp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] and [N] 0..1: how much a texel's colour is that of the face's skin, and that of the hair.

    Args:
        colors: [N, 3]. face, scalp: [N] bool, texels of each that are seen well.
    """
    if face.sum() < FEWEST:
        return np.ones(len(colors)), np.zeros(len(colors))
    off = unlike(np.median(colors[face], axis=0), colors, SHADE)
    bare, other = 1 - smoothstep(off, *UNLIKE), scalp & (off > UNLIKE[0])
    if other.sum() < max(FEWEST, HAIRED * scalp.sum()):
        return bare, np.zeros(len(colors))
    too = unlike(np.median(colors[other], axis=0), colors, GLOSS)
    return bare, smoothstep(off / np.maximum(off + too, 1e-6), *HAIR) * (1 - smoothstep(too, *UNLIKE))


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
