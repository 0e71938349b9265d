"""Lids that close: what a photo shows of an open lid belongs to the open lid.

An open lid's crease, shadow and lashes lie on skin that a blink unfolds to ten times its area, and would look like a
bruise on it. So they stay for the open eye alone: as the lids close, an eigenbasis turns that skin into what the skin
around the eyes says, flat, with a soft crease. What a fold holds when it is open is too little to cover a closed lid;
so a veil of finer Gaussians lies on the closed one, which cannot be seen while the eye is open.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from engine.curves import smoothstep
from engine.gaussians.binding import STRETCH, triangle_frames
from engine.gaussians.eigenbasis import Eigenbasis
from engine.gaussians.gaussians import PARTS, BoundGaussians, at_anchors
from engine.heads.parametric import ParametricHead
from engine.heads.portrait import vertex_normals
from engine.models.parts.lashes import evenly_along, upper_margin
from engine.models.parts.light import GREY
from engine.models.parts.placing import joined, scattered
from engine.models.parts.surroundings import Surroundings
from engine.models.reach import LID, blink, blink_keys, closing
from engine.models.surface import OPACITY, HeadGaussians
from engine.models.surface.kinds import shade_of

FOLD = 0.003  # m that a blink moves skin, from which all of it is lid; it begins at LID
RIM = 0.005  # m around the lids over which shadows of the open eye are lifted, too
SAMPLES = 2500  # of the skin around, that colour a lid
HUE_BLUR, LEVEL_BLUR = 0.015, 0.009  # m under which they count alike, for hue and for brightness
LEAST, MOST = (0.76, 0.9), 1.02  # of the cheeks' luminance: a lid's least at its border and in its middle; its most
INNER = 0.007  # m of blink from which it is the middle
CREASE, CREASE_AT, CREASE_WIDE = 0.12, 0.0022, 0.0008  # how much darker; m of blink at which it lies, and how wide
LASH_LINE, LASHES_WIDE = 0.6, 0.0009  # how much darker a closed lid's margin is; m
BRIGHTEST = 1.08  # of the closed lid's luminance, that an open one may have
MIDTONES = 0.15  # of the cheeks' luminance to either side, from which the hue is taken
GRAIN = 0.012  # of the cheeks' luminance, standard deviation of the skin's grain
VEIL_STEP, VEIL_OVERLAP = 0.0004, 0.8  # m between the Gaussians of a closed lid; their standard deviation in steps
VEIL_ABOVE = 0.0006  # m over the skin, whose own Gaussians would show through it
HARDLY, APPEARS = 1e-3, 17.0  # their opacity on an open eye, and how much its logit rises: half-closed, they are there
SQUARELY = 0.9  # of being seen: skin at a slant is darker
FEWEST = 50  # seen skin Gaussians, under which nobody can say what the lids' colour is
FAINT = 0.05  # of a blink, under which a key does not move the lids


def close_lids(model: HeadGaussians, head: ParametricHead) -> HeadGaussians:
    """The head with an eigenbasis, or two more directions of it, that cleans each eye's lids as they close."""
    bare, given = len(model.gaussians), model
    model = joined(model, np.ones(bare, bool), model.fixed, [_veil(model, head)])
    g = model.gaussians
    veil = np.arange(len(g)) >= bare
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
        return given
    far, _ = cKDTree(position[lid]).query(position, distance_upper_bound=2 * RIM)
    near = plain[triangles] & surface & ~lid & np.isfinite(far)
    unfolded = np.where(rims, 1.0, smoothstep(moved, LID, FOLD)) * lid
    share = lid.astype(float)
    share[near] = np.exp(-((far[near] / RIM) ** 2))
    share[veil] = 0
    touched, veil = np.flatnonzero(share > 0.02), np.flatnonzero(veil)
    closed = np.concatenate([touched, veil])
    clean, flat = _closed(model, head, closed, around, moved[closed]), unfolded[touched]
    colors[veil], clean = clean[len(touched) :], clean[: len(touched)]
    g = replace(g, colors=torch.from_numpy(colors).float())
    model = replace(model, gaussians=g)
    # towards the border and around the lids, shadows are lifted and nothing is darkened
    clean += (1 - flat)[:, None] * np.maximum(colors[touched] - clean, 0)
    model = _without_eyes(model, touched, clean, share[touched])
    basis = torch.zeros(len(blinks), len(g), 14)
    for row, sign in zip(basis, (1, -1), strict=True):
        mine = sign * position[touched, 0] > 0
        at = torch.from_numpy(touched[mine])
        row[at] = _change(model, at, *(torch.from_numpy(part[mine]).float() for part in (clean, flat)))
        row[at] *= torch.from_numpy(share[touched[mine]]).float()[:, None]
        mine = veil[sign * position[veil, 0] > 0]
        row[mine, 10] = torch.from_numpy(APPEARS * unfolded[mine]).float()
    gains = torch.zeros(len(head.expression_names) + 3 * len(head.joint_names), len(blinks))
    for column, (key, sign) in enumerate(zip(blinks, (1, -1), strict=True)):
        mine = key * (sign * head.template[:, :1] > 0)  # what else moves these lids closes them by as much
        along = np.tensordot(head.expression_basis, mine, axes=2) / np.square(mine).sum()
        gains[: len(along), column] = torch.from_numpy(np.where(along > FAINT, along, 0.0)).float()
    if model.eigenbasis is not None:
        basis = torch.cat([model.eigenbasis.basis, basis])
        gains = torch.cat([model.eigenbasis.gains, gains], dim=1)
    return replace(model, eigenbasis=Eigenbasis(basis, gains))


def _veil(model: HeadGaussians, head: ParametricHead) -> BoundGaussians:
    """Black discs, evenly spread over the lids that are closed, and hardly there."""
    rig = model.rig
    at_rest, closed = (triangle_frames(v, rig.faces)[1] for v in (rig.neutral, _closed_vertices(model, head)))
    skin = head.face_region("face", "lids") & ~head.face_region("lips", "brows")
    lids = np.flatnonzero(skin & (blink(head)[head.faces].max(axis=1) > LID))
    which, barycentrics = scattered(closed.numpy()[lids], VEIL_STEP)
    triangles = torch.from_numpy(lids[which])
    growth = (closed / at_rest.clamp_min(1e-12)).sqrt().clamp(*STRETCH)[triangles]
    count = len(triangles)
    return BoundGaussians(
        triangles,
        torch.from_numpy(barycentrics).float(),
        torch.tensor([0.0, 0.0, VEIL_ABOVE]).repeat(count, 1),
        torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        VEIL_STEP * torch.tensor([VEIL_OVERLAP, VEIL_OVERLAP, 0.2]) / growth[:, None],
        torch.full((count,), HARDLY),
        torch.zeros(count, 3),
        torch.full((count,), PARTS.index("surface"), dtype=torch.uint8),
    )


def _closed_vertices(model: HeadGaussians, head: ParametricHead) -> torch.Tensor:
    """[V, 3] metres, the person with closed eyes."""
    return model.rig.neutral + torch.from_numpy(closing(head)).float()


def _without_eyes(model: HeadGaussians, at: np.ndarray, clean: np.ndarray, share: np.ndarray) -> HeadGaussians:
    """Where lids were tracked too low, the eye's white lies on them: nothing on an open lid is brighter than skin.
    Lashes and creases, which are darker, stay."""
    colors = model.gaussians.colors.numpy().copy()
    most = BRIGHTEST * (clean @ GREY) / np.maximum(colors[at] @ GREY, 1e-3)
    colors[at] *= 1 + share[:, None] * (np.minimum(most, 1.0) - 1)[:, None]
    return replace(model, gaussians=replace(model.gaussians, colors=torch.from_numpy(colors).float()))


def _change(model: HeadGaussians, at: torch.Tensor, clean: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """[M, 14] from the Gaussians ``at`` [M] to ones in ``clean`` [M, 3] colours that lie on the skin and cover it, as
    far as ``flat`` [M] 0..1 says."""
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
    change[:, :11] *= flat[:, None]
    return change


def _closed(
    model: HeadGaussians, head: ParametricHead, lids: np.ndarray, around: np.ndarray, moved: np.ndarray
) -> np.ndarray:
    """[M, 3] colours of closed ``lids`` [M]: as :func:`lid_skin`, with the crease and the line of the lashes.

    Args:
        around: [N] bool, skin that photos show. moved: [M] metres that a blink moves the lids.
    """
    g = model.gaussians
    closed = _closed_vertices(model, head).numpy().astype(np.float64)
    position = at_anchors(g, head.faces, closed)
    normals = at_anchors(g, head.faces, vertex_normals(closed, head.faces))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    known = np.flatnonzero(around)
    colors = lid_skin(
        position[lids], normals[lids], np.interp(moved, (FOLD, INNER), LEAST),
        position[known], normals[known], g.colors.numpy()[known].astype(np.float64),
    )  # fmt: skip
    colors *= 1 - CREASE * np.exp(-(((moved - CREASE_AT) / CREASE_WIDE) ** 2))[:, None]
    for side in (1, -1):
        margin = upper_margin(head, side)
        if margin is not None:
            far, _ = cKDTree(evenly_along(closed[margin])).query(position[lids], workers=-1)
            colors *= 1 - LASH_LINE * np.exp(-((far / LASHES_WIDE) ** 2))[:, None]
    return colors


def lid_skin(
    position: np.ndarray,
    normals: np.ndarray,
    least: np.ndarray,
    known: np.ndarray,
    facing: np.ndarray,
    colors: np.ndarray,
    seed: int = 0,
) -> np.ndarray:
    """[M, 3] colours of skin at places that no photo shows: what lies around, in the light that falls there.

    Args:
        position, normals: [M, 3] metres and unit. least: [M] of the cheeks' luminance that they have. known, facing,
            colors: [K, 3] places, unit normals and colours of the skin around.
    """
    random = np.random.default_rng(seed)
    weights = np.r_[np.zeros(len(position)), np.ones(len(known))]
    shade = shade_of(np.concatenate([normals, facing]), np.concatenate([np.zeros_like(position), colors]), weights)
    pick = random.permutation(len(known))[:SAMPLES]
    known, plain = known[pick], (colors / shade[len(position) :, None])[pick]
    grey = plain @ GREY
    cheek = float(np.median(grey))
    lit = np.abs(grey / cheek - 1) < MIDTONES  # skin in shadow is redder than the lids will be, gloss is greyer

    skin, mirrored = Surroundings(known[lit], plain[lit]), position * [-1, 1, 1]
    hue = skin.at(position, HUE_BLUR) + skin.at(mirrored, HUE_BLUR)  # the same on both sides of the nose
    level = Surroundings(known, plain).at(position, LEVEL_BLUR) @ GREY * shade[: len(position)]
    level = np.clip(level, least * cheek, MOST * cheek)
    level += random.normal(0, GRAIN, len(level)) * cheek
    return np.clip(hue / np.maximum(hue @ GREY, 1e-3)[:, None] * level[:, None], 0, 1)
