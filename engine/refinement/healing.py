"""What refinement changed where a photo sees the skin goes on, ever fainter, where none does.

A face is darker towards its outline. Refinement learns that from the photo up to where it sees the skin too much at a
slant, and there it would end as the edge of a mask; so would the skin's grain, which refinement makes as fine as the
photo's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from engine.gaussians.gaussians import PARTS, BoundGaussians
from engine.heads.parametric import ParametricHead
from engine.models.head_gaussians import HeadGaussians
from engine.models.parts.light import GREY
from engine.models.surface.membrane import Membrane
from engine.models.surface.texture import FEATURES, SKIN

LENGTH, FADES = 0.006, 0.025  # m under which changes are detail, which stays where it is; m over which the rest fades
MOST = 0.25  # of sRGB's range
GRAINY = ("face", "ears", "neck")
FEWEST = 500  # Gaussians of a face, to tell its grain


def heal(start: HeadGaussians, refined: BoundGaussians, head: ParametricHead) -> BoundGaussians:
    """The refined Gaussians, with the overall change of colour and the grain carried on where no photo sees skin.

    By scipy's solver: all of it on the CPU.
    """
    triangles, surface = refined.triangles.numpy(), (refined.parts == PARTS.index("surface")).numpy()
    sheet = head.face_region(*SKIN)
    on_sheet = sheet[triangles] & surface & ~start.fixed.numpy()
    square = start.square.numpy()
    plain = ~head.face_region(*FEATURES)[triangles]
    known, unknown = on_sheet & plain & (square > 0), np.flatnonzero(on_sheet & (square < 1))
    if not known.any() or not len(unknown):
        return refined
    change = (refined.colors - start.gaussians.colors).numpy().astype(np.float64).clip(-MOST, MOST)
    held = np.flatnonzero(on_sheet)
    weights = np.where(square > 0, square * plain, (LENGTH / FADES) ** 2)
    barycentric = refined.barycentrics.numpy().astype(np.float64)
    membrane = Membrane(start.rig.neutral.numpy().astype(np.float64), head.faces, sheet)
    at_vertices = membrane.fit(triangles[held], barycentric[held], change[held], weights[held], LENGTH)
    field = np.einsum("nkc,nk->nc", at_vertices[head.faces[triangles[unknown]]], barycentric[unknown])
    grainy = head.face_region(*GRAINY)[triangles] & on_sheet & plain
    grain = _grain(refined.colors.numpy() @ GREY, start.pairs.numpy(), grainy & (square == 1)) * grainy
    less = (1 - square[unknown, None]) ** 2  # towards the rim, less and less of it is the skin's own colour
    added = less * (field - change[unknown]) + grain[unknown, None] * (square[unknown, None] == 0)
    colors = refined.colors.clone()
    colors[unknown] += torch.from_numpy(added).float()
    return replace(refined, colors=colors.clamp(0, 1))


def _grain(grey: np.ndarray, pairs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[N] brightness that differs from one Gaussian to the next as much as that of known skin does.

    Args:
        grey: [N] luminance. pairs: [M, 2] neighbours. known: [N] bool.
    """
    if known.sum() < FEWEST:
        return np.zeros(len(grey))
    noise = np.random.default_rng(0).normal(size=len(grey))
    shown, made = (_from_neighbours(values, pairs)[known] for values in (grey, noise))
    usual = np.median(np.abs(shown - np.median(shown)))  # not the mean: lips and nostrils are no grain
    return noise * usual / max(np.median(np.abs(made)), 1e-9)


def _from_neighbours(values: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """[N] how values [N] differ from the mean of their neighbours; 0 for those without."""
    one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
    counts, sums = (np.bincount(one, weights, len(values)) for weights in (None, values[other]))
    return np.where(counts > 0, values - sums / np.maximum(counts, 1), 0.0)
