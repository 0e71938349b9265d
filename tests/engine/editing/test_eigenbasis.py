"""Editing heads whose Gaussians change with keys and bones: the results change as the heads that they come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import avatar as avatars
from engine.avatar import Avatar, drive
from engine.editing import interpolate, replace_region, transfer, with_expression
from engine.editing.correspondence import correspond, partners, partners_basis
from engine.gaussians.eigenbasis import STEPS, Eigenbasis
from engine.gaussians.gaussians import concatenate, select
from tests.engine.editing.test_editing import SMILE, assert_same, make_avatar

TURN = {"head": (0.1, 0.3, 0.0), "jaw": (0.1, 0.0, 0.0)}
WINK = {"eyeBlinkLeft": 0.9}


def with_motion(head: Avatar, seed: int, components: int = 3) -> Avatar:
    """The head with random directions: half millimetres, hundredths of a radian and of a colour under SMILE."""
    rng = torch.Generator().manual_seed(seed)
    basis = torch.randn(components, len(head.gaussians), 14, generator=rng).clamp(-2, 2) * torch.tensor(STEPS)
    gains = torch.randn(len(head.key_names) + 3 * len(head.joint_names), components, generator=rng) * 0.3
    middle = replace(head.gaussians, colors=0.3 + 0.4 * head.gaussians.colors)  # far from where changes are cut off
    return replace(head, gaussians=middle, eigenbasis=Eigenbasis(basis, gains))


@pytest.fixture(scope="module")
def pair() -> tuple[Avatar, Avatar]:
    return with_motion(make_avatar(1, 32), 1), with_motion(make_avatar(2, 32), 2, components=4)


def test_halfway_moves_as_both_do(pair, tmp_path):
    made = interpolate(*pair, 0.5).avatar
    first, second, middle = (drive(head, SMILE, TURN) for head in (*pair, made))
    away = (middle.means - (first.means + second.means) / 2).norm(dim=1)
    still = drive(replace(made, eigenbasis=None), SMILE, TURN)
    assert (middle.means - still.means).norm(dim=1).median() > 2e-4
    assert away.median() < 4e-5 and away.max() < 6e-4
    torch.testing.assert_close(middle.colors, (first.colors + second.colors) / 2, rtol=0, atol=1e-6)
    error = (middle.opacities - (first.opacities + second.opacities) / 2).abs()  # logits are mixed, hence some
    assert error.mean() < 0.35 * (middle.opacities - still.opacities).abs().mean()
    avatars.save(made, tmp_path / "middle.npz")
    again = drive(avatars.load(tmp_path / "middle.npz"), SMILE, TURN)
    torch.testing.assert_close(again.colors, middle.colors, rtol=0, atol=2e-4)


def test_ends_keep_their_own_and_a_head_without_any_changes_nothing(pair):
    first, second = pair
    for gamma, end in ((0.0, first), (1.0, second)):
        assert interpolate(*pair, gamma).avatar.eigenbasis is end.eigenbasis
    plain = replace(second, eigenbasis=None)
    for heads, share in (((first, plain), 0.75), ((plain, first), 0.25)):
        made = interpolate(*heads, 0.25).avatar
        change, whole = (drive(head, SMILE).colors - drive(head, {}).colors for head in (made, first))
        torch.testing.assert_close(change, share * whole, rtol=0, atol=1e-6)
    assert interpolate(plain, replace(first, eigenbasis=None), 0.5).avatar.eigenbasis is None


def test_more_directions_than_a_file_holds_are_left_out_and_said(pair):
    first, second = (with_motion(head, 3, components) for head, components in zip(pair, (16, 17), strict=True))
    made = interpolate(first, second, 0.5)
    assert made.avatar.eigenbasis is None
    assert "33 directions" in made.notes[-1] and made.avatar.provenance["notes"] == list(made.notes)
    fits = interpolate(first, with_motion(second, 3, 16), 0.5).avatar
    assert fits.eigenbasis is not None and len(fits.eigenbasis.basis) == 32


def test_a_replaced_region_moves_as_the_head_that_it_comes_from(pair):
    first, second = pair
    larger = replace(
        second,
        vertices=2 * second.vertices,
        joint_positions=2 * second.joint_positions,
        gaussians=replace(second.gaussians, offsets=2 * second.gaussians.offsets, scales=2 * second.gaussians.scales),
        eigenbasis=replace(
            second.eigenbasis, basis=second.eigenbasis.basis * torch.tensor([2.0] * 3 + [1.0] * 11)
        ),
    )  # fmt: skip
    hair = replace(select(first.gaussians, torch.arange(40)), parts=torch.ones(40, dtype=torch.uint8))
    basis = first.eigenbasis.basis
    first = replace(
        first,
        gaussians=concatenate(first.gaussians, hair),
        eigenbasis=replace(first.eigenbasis, basis=torch.cat((basis, basis[:, :40]), dim=1)),
    )
    made, same = (replace_region(first, other, ["lips"], 0.006).avatar for other in (larger, second))
    assert len(made.gaussians) == len(first.gaussians) == made.eigenbasis.basis.shape[1]
    torch.testing.assert_close(made.eigenbasis.basis, same.eigenbasis.basis, rtol=1e-4, atol=1e-7)
    change, before, wanted = (
        drive(head, SMILE, TURN).colors - drive(head, {}).colors for head in (made, first, second)
    )
    inside = torch.from_numpy(first.regions["lips"][first.faces].all(axis=1))[first.gaussians.triangles]
    inside &= first.gaussians.parts == 0
    assert inside.sum() > 5
    torch.testing.assert_close(change[inside], wanted[inside[: len(wanted)]], rtol=0, atol=1e-6)
    distance = np.linalg.norm(first.vertices[:, None] - first.vertices[None, first.regions["lips"]], axis=2).min(axis=1)
    far = torch.from_numpy((distance > 0.006)[first.faces].all(axis=1))[first.gaussians.triangles]
    far |= first.gaussians.parts == 1
    assert far[-40:].all()
    torch.testing.assert_close(change[far], before[far], rtol=0, atol=1e-6)
    a, b = drive(made, SMILE, TURN), drive(first, SMILE, TURN)
    torch.testing.assert_close(a.scales[far], b.scales[far], rtol=1e-4, atol=0)


def test_partners_on_other_triangles_move_in_those_triangles_frames(pair):
    """First moved, then told in the first's triangles, or the other way round: the same."""
    first, second = pair[0], with_motion(make_avatar(2, 45), 4)
    pairs = correspond(first, second)
    assert pairs.resampled > 50
    places = select(first.gaussians, pairs.first)
    features = torch.full((len(second.eigenbasis.gains),), 0.2)
    moved = replace(second, gaussians=second.eigenbasis.apply(second.gaussians, features))
    basis = partners_basis(second, second.eigenbasis.basis, places, pairs)
    told = Eigenbasis(basis, second.eigenbasis.gains).apply(partners(second, places, pairs), features)
    wanted = partners(moved, places, pairs)
    for name in ("offsets", "quats", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(told, name), getattr(wanted, name), rtol=1e-5, atol=1e-6)


def test_baking_takes_the_motion_along(pair):
    head = pair[0]
    baked = with_expression(head, SMILE)
    rest, driven = drive(baked, {}), drive(head, SMILE)
    for name in ("means", "quats", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(rest, name), getattr(driven, name), rtol=1e-3, atol=2e-6)
    assert baked.eigenbasis is None and "baked" in baked.provenance["notes"][-1]
    assert "notes" not in with_expression(replace(head, eigenbasis=None), SMILE).provenance


def test_a_transferred_expression_goes_on_moving(pair):
    head, other = pair
    unchanged = transfer(head, other, other).avatar
    assert_same(unchanged.gaussians, head.gaussians)
    torch.testing.assert_close(unchanged.eigenbasis.basis, head.eigenbasis.basis, rtol=0, atol=0)
    made = transfer(head, with_expression(head, SMILE), head).avatar
    # keys add up in the mesh and in the eigenbasis: from its smile on, the result winks as the smiling head does
    for expression in ({}, WINK):
        seen, wanted = drive(made, expression), drive(head, SMILE | expression)
        for name, room in (("means", 1e-5), ("colors", 1e-5), ("opacities", 1e-4), ("quats", 2e-2)):
            torch.testing.assert_close(getattr(seen, name), getattr(wanted, name), rtol=0, atol=room)
        torch.testing.assert_close(seen.scales, wanted.scales, rtol=2e-2, atol=1e-7)
