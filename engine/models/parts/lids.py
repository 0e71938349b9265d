"""Lids that close: what a photo shows of an open lid belongs to the open lid.

An open lid's crease, shadow and lashes lie on skin that a blink unfolds to ten times its area, and would look like a
bruise on it. So they stay for the open eye alone: as the lids close, an eigenbasis turns that skin into what the skin
around the eyes says, flat and evenly lit, with a soft crease.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from engine.curves import smoothstep
from engine.gaussians.eigenbasis import Eigenbasis
from engine.gaussians.gaussians import PARTS, at_anchors
from engine.heads.parametric import ParametricHead
from engine.models.parts.light import GREY
from engine.models.parts.surroundings import Surroundings
from engine.models.reach import LID, blink, blink_keys
from engine.models.surface import OPACITY, HeadGaussians

FOLD = 0.003  # m that a blink moves skin, from which all of it is lid; it begins at LID
RIM = 0.005  # m around the lids over which shadows of the open eye are lifted, too
SAMPLES = 2500  # of the skin around, that colour a lid
HUE_BLUR, LEVEL_BLUR = 0.015, 0.005  # m under which they count alike, for hue and for brightness
SHADE = (0.76, 0.92, 1.02)  # of the cheeks' luminance: least at a lid's border, least in its middle, most
INNER = 0.007  # m of blink from which it is the middle
CREASE, CREASE_AT, CREASE_WIDE = 0.04, 0.0045, 0.0018  # how much darker; m of blink at which it lies, and how wide
BRIGHTEST = 1.08  # of the closed lid's luminance, that an open one may have
MIDTONES = 0.15  # of the cheeks' luminance to either side, from which the hue is taken
GRAIN = 0.012  # of the cheeks' luminance, standard deviation of the skin's grain
SQUARELY = 0.9  # of being seen: skin at a slant is darker
FEWEST = 50  # seen skin Gaussians, under which nobody can say what the lids' colour is
FAINT = 0.05  # of a blink, under which a key does not move the lids


def close_lids(model: HeadGaussians, head: ParametricHead) -> HeadGaussians:
    """The head with an eigenbasis, or two more directions of it, that cleans each eye's lids as they close."""
    g = model.gaussians
    triangles, surface = g.triangles.numpy(), (g.parts == PARTS.index("surface")).numpy()
    position = at_anchors(g, head.faces, model.rig.neutral.numpy().astype(np.float64))
    colors = g.colors.numpy().astype(np.float64)
    blinks = blink_keys(head)
    moved = at_anchors(g, head.faces, blink(head)[:, None])[:, 0]
    plain = head.face_region("face") & ~head.face_region("lips", "brows")
    rims = head.face_region("lids")[triangles] & surface
    lid = (plain[triangles] & surface & (moved > LID)) | rims
    around = (plain & ~head.face_region("lids"))[triangles] & surface & ~lid & (model.seen.numpy() > SQUARELY)
    if around.sum() < FEWEST or not lid.any():
        return model
    far, _ = cKDTree(position[lid]).query(position, distance_upper_bound=2 * RIM)
    near = plain[triangles] & surface & ~lid & np.isfinite(far)
    share = np.where(rims, 1.0, smoothstep(moved, LID, FOLD)) * lid
    share[near] = np.exp(-((far[near] / RIM) ** 2))
    touched = np.flatnonzero(share > 0.02)
    clean = lid_skin(position[touched], moved[touched], position[around], colors[around])
    lifted = near[touched]  # around the lids, shadows are lifted and nothing is darkened
    clean[lifted] = np.maximum(clean[lifted], colors[touched][lifted])
    model = _without_eyes(model, touched, clean, share[touched])
    basis = torch.zeros(len(blinks), len(g), 14)
    for row, sign in zip(basis, (1, -1), strict=True):
        mine = sign * position[touched, 0] > 0
        at = torch.from_numpy(touched[mine])
        row[at] = _change(model, at, torch.from_numpy(clean[mine]).float(), lifted[mine])
        row[at] *= torch.from_numpy(share[touched[mine]]).float()[:, None]
    gains = torch.zeros(len(head.expression_names) + 3 * len(head.joint_names), len(blinks))
    for column, (key, sign) in enumerate(zip(blinks, (1, -1), strict=True)):
        mine = key * (sign * head.template[:, :1] > 0)  # what else moves these lids closes them by as much
        along = np.tensordot(head.expression_basis, mine, axes=2) / np.square(mine).sum()
        gains[: len(along), column] = torch.from_numpy(np.where(along > FAINT, along, 0.0)).float()
    if model.eigenbasis is not None:
        basis = torch.cat([model.eigenbasis.basis, basis])
        gains = torch.cat([model.eigenbasis.gains, gains], dim=1)
    return replace(model, eigenbasis=Eigenbasis(basis, gains))


def _without_eyes(model: HeadGaussians, at: np.ndarray, clean: np.ndarray, share: np.ndarray) -> HeadGaussians:
    """Where lids were tracked too low, the eye's white lies on them: nothing on an open lid is brighter than skin.
    Lashes and creases, which are darker, stay."""
    colors = model.gaussians.colors.numpy().copy()
    most = BRIGHTEST * (clean @ GREY) / np.maximum(colors[at] @ GREY, 1e-3)
    colors[at] *= 1 + share[:, None] * (np.minimum(most, 1.0) - 1)[:, None]
    return replace(model, gaussians=replace(model.gaussians, colors=torch.from_numpy(colors).float()))


def _change(model: HeadGaussians, at: torch.Tensor, clean: torch.Tensor, lifted: np.ndarray) -> torch.Tensor:
    """[M, 14] from the Gaussians ``at`` [M] to flat ones that cover the skin in ``clean`` [M, 3] colours; of those
    that are ``lifted`` [M] only the colour."""
    g = model.gaussians
    turned = torch.where(g.quats[at, :1] < 0, -1.0, 1.0)
    change = torch.cat(
        [
            -g.offsets[at],
            turned * torch.tensor([1.0, 0, 0, 0]) - g.quats[at],
            (model.cover[at] / g.scales[at]).log(),
            (torch.logit(torch.tensor(OPACITY)) - torch.logit(g.opacities[at].clamp(1e-4, 1 - 1e-4)))[:, None],
            clean - g.colors[at],
        ],
        dim=1,
    )
    change[torch.from_numpy(lifted), :11] = 0
    return change


def lid_skin(
    position: np.ndarray, moved: np.ndarray, known: np.ndarray, colors: np.ndarray, seed: int = 0
) -> np.ndarray:
    """[M, 3] colours of lids: the hue of the skin around both eyes, the brightness of what lies near.

    Args:
        position: [M, 3] metres. moved: [M] metres that a blink moves them. known, colors: [K, 3] places and colours of
            skin around.
    """
    random = np.random.default_rng(seed)
    pick = random.permutation(len(known))[:SAMPLES]
    known, colors = known[pick], colors[pick]
    grey = colors @ GREY
    cheek = float(np.median(grey))
    lit = np.abs(grey / cheek - 1) < MIDTONES  # skin in shadow is redder than the lids will be, gloss is greyer

    skin, mirrored = Surroundings(known[lit], colors[lit]), position * [-1, 1, 1]
    hue = skin.at(position, HUE_BLUR) + skin.at(mirrored, HUE_BLUR)  # the same on both sides of the nose
    level = Surroundings(known, colors).at(position, LEVEL_BLUR) @ GREY
    level = np.clip(level, np.interp(moved, (FOLD, INNER), SHADE[:2]) * cheek, SHADE[2] * cheek)
    level *= 1 - CREASE * np.exp(-(((moved - CREASE_AT) / CREASE_WIDE) ** 2))
    level += random.normal(0, GRAIN, len(level)) * cheek
    return np.clip(hue / np.maximum(hue @ GREY, 1e-3)[:, None] * level[:, None], 0, 1)
