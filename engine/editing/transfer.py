"""Carries an expression from one head to another: G_src + (G_expr - G_neutral) (MATCH, arXiv 2603.15811)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch.nn import functional

from engine.avatar import Avatar, deform
from engine.editing.correspondence import correspond, partners, require_same_model
from engine.editing.edited import Edited, provenance
from engine.errors import AvatarError
from engine.formats.avatar_layout import RULES
from engine.gaussians.binding import STRETCH, triangle_frames
from engine.gaussians.eigenbasis import Eigenbasis, motion_features, scale_offsets
from engine.gaussians.gaussians import BoundGaussians, select
from engine.gaussians.rotations import quat_multiply

BAKED = "Changes of the Gaussians with keys and bones went into the resting face."
SCALE_RANGE = (1e-6, 1.0)  # m


def with_expression(avatar: Avatar, expression: Mapping[str, float]) -> Avatar:
    """The avatar with an expression as its resting face; driven at rest it looks as ``drive(avatar, expression)``.

    What an eigenbasis does to the Gaussians goes into them, and the result has none: from then on they only follow
    the mesh, as its provenance says.

    Args:
        expression: weight per shape key.

    Raises:
        AvatarError: a key that the avatar does not have.
    """
    unknown = [name for name in expression if name not in avatar.key_names]
    if unknown:
        raise AvatarError(f"{avatar.name} has no shape key {unknown[0]!r}.", f"It has: {', '.join(avatar.key_names)}.")
    weights = torch.tensor([float(expression.get(name, 0.0)) for name in avatar.key_names]).numpy()
    still = torch.zeros(len(avatar.joint_names), 3).numpy()
    vertices = deform(avatar, weights, still)
    posed = avatar
    if avatar.eigenbasis is not None:
        features = motion_features(torch.from_numpy(weights), torch.from_numpy(still))
        notes = [*avatar.provenance.get("notes", ()), BAKED]
        posed = replace(
            avatar,
            gaussians=avatar.eigenbasis.apply(avatar.gaussians, features),
            eigenbasis=None,
            provenance={**avatar.provenance, "notes": notes},
        )
    return replace(posed, vertices=vertices.numpy(), gaussians=_stretched(posed, vertices))


def transfer(source: Avatar, expressive: Avatar, neutral: Avatar, name: str | None = None) -> Edited:
    """``source`` with what distinguishes ``expressive`` from ``neutral``: in the mesh and in every Gaussian.

    Gaussians of ``source`` that have no partner in both of the others keep their own look and move with the mesh. All
    go on changing with keys and bones as an eigenbasis of ``source`` says.

    Args:
        expressive, neutral: one person in two states: two reconstructions, or one and its :func:`with_expression`.

    Raises:
        AvatarError: the heads are of different head models.
    """
    require_same_model(source, expressive, neutral)
    vertices = source.vertices + (expressive.vertices - neutral.vertices)
    # what the mesh's motion explains is no residual: the neutral's Gaussians as the expressive mesh would drive them
    expected = replace(
        neutral,
        vertices=expressive.vertices,
        gaussians=_stretched(neutral, torch.from_numpy(expressive.vertices)),
    )
    pairs = [correspond(source, other) for other in (expected, expressive)]
    known = torch.ones(len(source.gaussians), dtype=torch.bool)
    for pair in pairs:
        known[pair.lone_first] = False
    before, after = (
        select(partners(other, select(source.gaussians, pair.first), pair), known[pair.first])
        for other, pair in zip((expected, expressive), pairs, strict=True)
    )
    order = [pair.first[known[pair.first]] for pair in pairs]
    before, after = (select(half, torch.argsort(place)) for half, place in zip((before, after), order, strict=True))
    moved = _stretched(source, torch.from_numpy(vertices))
    gaussians = _add_residual(moved, known, before, after)
    notes = []
    if not bool(known.all()):
        notes.append(f"{int((~known).sum())} Gaussians have no partner in the other heads; they only move along.")
    if pairs[0].resampled or pairs[1].resampled:
        notes.append("The heads' Gaussians lie at different places of the mesh; the nearest in UV were taken.")
    result = replace(
        source,
        name=name or source.name,
        vertices=vertices,
        gaussians=gaussians,
        eigenbasis=_carried(source, torch.from_numpy(vertices), gaussians),
        provenance=provenance("transfer", {}, tuple(notes), source, expressive, neutral),
    )
    return Edited(result, tuple(notes))


def _add_residual(
    gaussians: BoundGaussians, known: torch.Tensor, before: BoundGaussians, after: BoundGaussians
) -> BoundGaussians:
    """Gaussians [N] with ``after - before`` [M] added to those of the mask ``known`` [N], kept storable."""
    turn = quat_multiply(after.quats, before.quats * before.quats.new_tensor((1.0, -1.0, -1.0, -1.0)))

    def plus(values: torch.Tensor, change: torch.Tensor, low: float, high: float) -> torch.Tensor:
        out = values.clone()
        out[known] = torch.where(change == 0, out[known], (out[known] + change).clamp(low, high))
        return out

    quats = gaussians.quats.clone()
    turned = functional.normalize(quat_multiply(turn, quats[known]), dim=1)
    quats[known] = torch.where((after.quats == before.quats).all(1, keepdim=True), quats[known], turned)
    return replace(
        gaussians,
        offsets=plus(gaussians.offsets, after.offsets - before.offsets, *RULES["offsets"]["range"]),
        quats=quats,
        scales=plus(gaussians.scales, after.scales - before.scales, *SCALE_RANGE),
        opacities=plus(gaussians.opacities, after.opacities - before.opacities, 0.0, 1.0),
        colors=plus(gaussians.colors, after.colors - before.colors, *RULES["colors"]["range"]),
    )


def _carried(avatar: Avatar, vertices: torch.Tensor, gaussians: BoundGaussians) -> Eigenbasis | None:
    """The avatar's eigenbasis for its Gaussians as they became on the mesh ``vertices`` [V, 3]: grown and turned."""
    if avatar.eigenbasis is None:
        return None
    grown = scale_offsets(avatar.eigenbasis, _growth(avatar, vertices))
    before = avatar.gaussians.quats
    turn = quat_multiply(gaussians.quats, before * before.new_tensor((1.0, -1.0, -1.0, -1.0)))
    quats = grown.basis[..., 3:7]
    grown.basis[..., 3:7] = torch.where(
        (gaussians.quats == before).all(1, keepdim=True), quats, quat_multiply(turn.expand_as(quats), quats)
    )
    return grown


def _growth(avatar: Avatar, vertices: torch.Tensor) -> torch.Tensor:
    """[N, 1]: how much each Gaussian of the avatar grows when its mesh becomes ``vertices`` [V, 3]."""
    _, areas = triangle_frames(vertices, torch.from_numpy(avatar.faces))
    rest = avatar.rest_areas
    ratio = torch.where(rest > 0, areas / torch.where(rest > 0, rest, 1.0), 1.0)
    return ratio.clamp(STRETCH[0] ** 2, STRETCH[1] ** 2).sqrt()[avatar.gaussians.triangles][:, None]


def _stretched(avatar: Avatar, vertices: torch.Tensor) -> BoundGaussians:
    """The avatar's Gaussians for a mesh that rests as ``vertices``: stretched as the drive would have done."""
    g, grown = avatar.gaussians, _growth(avatar, vertices)
    return replace(g, offsets=g.offsets * grown, scales=g.scales * grown)
