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
from engine.models.head_gaussians import HeadGaussians
from engine.models.parts.lashes import evenly_along, upper_margin
from engine.models.parts.light import GREY
from engine.models.parts.placing import joined, scattered
from engine.models.parts.surroundings import Surroundings
from engine.models.reach import BLINKS, lid_faces
from engine.models.surface import OPACITY
from engine.models.surface.kinds import shade_of

LID, FOLD = 0.0018, 0.0028  # m that a blink moves skin, from which some and from which all of it is lid
RIM = 0.005  # m around the lids over which shadows of the open eye are lifted, too
REACH, SAMPLES = 0.018, 2500  # m around a lid, and how many places there, that colour it
SEAM = 0.0025  # m under which places count alike
OUTLIER, OUTLIER_BLUR = 0.15, 0.008  # of the luminance around, within so many metres, that skin is off at most
HUE_BLUR, MIDTONES = 0.015, 0.15  # m under which they count alike for the hue; of the cheeks' luminance to either side
PLAIN = 0.5  # of the hue, that lids take from lit skin at least
LIFTED = (1.0, 1.25)  # how much lighter than the skin around, over which a lid takes all of it
BULGE = (0.92, 1.06)  # how much darker and lighter than the skin around a lid's curve makes it
LEAST, MOST = (
    (0.62, 0.88),
    1.05,
)  # of the cheeks' luminance: a lid's least at its border and in its middle; the most that
# the other eye lends it
INNER = 0.0045  # m of blink from which it is the middle
CREASE, CREASE_AT, CREASE_WIDE = 0.1, 0.002, 0.0006  # how much darker; m of blink at which it lies, and how wide
ABOVE = (0.001, 0.003)  # m over the closed lid's edge from where there is a crease
LASH_LINE, LASHES_WIDE = 0.6, 0.0008  # how much darker a closed lid's margin is; m
BRIGHTEST, DARKEST = 1.08, 0.75  # of the closed lid's luminance, that an open one, and a lower lid's rim, may have
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
    blinks = [model.rig.expression_basis[head.expression_names.index(name)].numpy() for name in BLINKS]
    moved = at_anchors(g, head.faces, np.maximum(-np.sum(blinks, axis=0)[:, 1:2], 0))[:, 0]  # the upper lids go down
    plain = head.face_region("face") & ~head.face_region("lips", "brows")
    rims = head.face_region("lids")[triangles] & surface
    lid = (plain[triangles] & surface & (moved > LID)) | rims
    around = (plain & ~head.face_region("lids"))[triangles] & surface & ~lid & ~veil
    if (around & (model.seen.numpy() > SQUARELY)).sum() < FEWEST or not lid.any():
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
    model = _without_eyes(model, touched, clean, share[touched], (rims & (moved < LID))[touched])
    basis = torch.zeros(len(blinks), len(g), 14)
    for row, sign in zip(basis, (1, -1), strict=True):
        mine = sign * position[touched, 0] > 0
        at = torch.from_numpy(touched[mine])
        row[at] = _change(model, at, *(torch.from_numpy(part[mine]).float() for part in (clean, flat)))
        row[at] *= torch.from_numpy(share[touched[mine]]).float()[:, None]
        mine = veil[sign * position[veil, 0] > 0]
        row[mine, 10] = torch.from_numpy(APPEARS * unfolded[mine]).float()
    keys = model.rig.expression_basis.numpy()
    gains = torch.zeros(len(head.expression_names) + 3 * len(head.joint_names), len(blinks))
    for column, (key, sign) in enumerate(zip(blinks, (1, -1), strict=True)):
        mine = key * (sign * head.template[:, :1] > 0)  # what else moves these lids closes them by as much
        along = np.tensordot(keys, mine, axes=2) / np.square(mine).sum()
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
    lids = np.flatnonzero(skin & lid_faces(head))
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
    rows = [head.expression_names.index(name) for name in BLINKS]
    return model.rig.neutral + model.rig.expression_basis[rows].sum(dim=0)


def _without_eyes(
    model: HeadGaussians, at: np.ndarray, clean: np.ndarray, share: np.ndarray, lower: np.ndarray
) -> HeadGaussians:
    """Where lids were tracked too low or too high, the eye's white or iris lies on them: nothing on an open lid is
    brighter than skin, nor is the ``lower`` [M] rim much darker. Upper lashes and creases, which are, stay."""
    colors = model.gaussians.colors.numpy().copy()
    skin, grey = clean @ GREY, np.maximum(colors[at] @ GREY, 1e-3)
    colors[at] *= 1 + share[:, None] * (np.minimum(BRIGHTEST * skin / grey, 1.0) - 1)[:, None]
    dark = lower & (grey < DARKEST * skin)
    colors[at[dark]] = DARKEST * clean[dark]
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
        around: [N] bool, the face's skin beside them. moved: [M] metres that a blink moves the lids down.
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
        model.seen.numpy()[known] > SQUARELY,
    )  # fmt: skip
    for side in (1, -1):
        margin = upper_margin(head, side)
        if margin is None:
            continue
        line = evenly_along(closed[margin])
        far, nearest = cKDTree(line).query(position[lids], workers=-1)
        ends = np.sin(np.pi * nearest / (len(line) - 1)) ** 0.5  # both lines end at the eye's corners
        above = smoothstep(position[lids][:, 1] - line[nearest, 1], *ABOVE)
        mine = (side * position[lids][:, 0] > 0) * smoothstep(moved, 0, LID) * ends
        crease = np.exp(-(((moved - CREASE_AT) / CREASE_WIDE) ** 2)) * above
        lashes = np.exp(-((far / LASHES_WIDE) ** 2))
        colors *= (1 - mine * np.maximum(CREASE * crease, LASH_LINE * lashes))[:, None]
    return colors


def lid_skin(
    position: np.ndarray,
    normals: np.ndarray,
    least: np.ndarray,
    known: np.ndarray,
    facing: np.ndarray,
    colors: np.ndarray,
    seen: np.ndarray,
    seed: int = 0,
) -> np.ndarray:
    """[M, 3] colours of skin at places that no photo shows: what lies around goes on, without a seam, in the light
    that falls there.

    Args:
        position, normals: [M, 3] metres and unit. least: [M] of the cheeks' luminance that they have. known, facing,
            colors: [K, 3] places, unit normals and colours of the skin around. seen: [K] bool, what photos show well.
    """
    random = np.random.default_rng(seed)
    weights = np.r_[np.zeros(len(position)), seen]
    shade = shade_of(np.concatenate([normals, facing]), np.concatenate([np.zeros_like(position), colors]), weights)
    grey = colors @ GREY
    cheek = float(np.median(grey[seen]))
    near, _ = cKDTree(position).query(known, distance_upper_bound=REACH)
    plain = np.isfinite(near)
    level = Surroundings(known[plain], colors[plain]).at(known, OUTLIER_BLUR) @ GREY
    plain &= np.abs(grey / np.maximum(level, 1e-3) - 1) < OUTLIER  # lashes, brows' ends and gloss are not skin
    if plain.sum() < FEWEST:
        plain[:] = True
    pick = random.permutation(np.flatnonzero(plain))[:SAMPLES]
    seam = Surroundings(known[pick], np.column_stack([colors[pick], shade[len(position) :][pick]]))
    mirrored = position * [-1, 1, 1]
    smooth, other = seam.at(position, SEAM), seam.at(mirrored, SEAM)[:, :3] @ GREY
    lit = np.clip(shade[: len(position)] / np.maximum(smooth[:, 3], 1e-3), *BULGE)
    level = smooth[:, :3] @ GREY
    lifted = np.minimum(np.sqrt(level * other), MOST * cheek)  # what glasses or hair shade on one side, the other shows
    level = np.maximum(np.maximum(level, lifted) * lit, least * cheek)
    level += random.normal(0, GRAIN, len(level)) * cheek
    # in shadow skin is redder than the lids will be, and gloss is greyer: the hue is that of lit skin, of both eyes
    light = random.permutation(np.flatnonzero(seen & (np.abs(grey / cheek - 1) < MIDTONES)))[:SAMPLES]
    plain = Surroundings(known[light], colors[light])
    hue = _hue(plain.at(position, HUE_BLUR) + plain.at(mirrored, HUE_BLUR))
    inside = PLAIN + (1 - PLAIN) * smoothstep(level / np.maximum(smooth[:, :3] @ GREY, 1e-3), *LIFTED)[:, None]
    return np.clip((_hue(smooth[:, :3]) * (1 - inside) + hue * inside) * level[:, None], 0, 1)


def _hue(colors: np.ndarray) -> np.ndarray:
    """[M, 3] colours of luminance 1."""
    return colors / np.maximum(colors @ GREY, 1e-3)[:, None]
