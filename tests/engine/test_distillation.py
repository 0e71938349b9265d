"""A sequence through MATCH, distilled, to an avatar that is saved, loaded and driven."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from engine.arkit import ARKIT_NAMES
from engine.avatar import drive, drive_view, load, save
from engine.distillation import GEMSystem, around, only
from engine.errors import PhotoError
from engine.gaussians.gaussians import BoundGaussians
from engine.models.head_gaussians import HeadGaussians, Shoot
from engine.models.kit.conditions import MOTION
from engine.models.kit.eigenbasis import fidelity
from engine.models.learned.posed_images import PosedImages
from engine.models.learned.reconstruct import fit_eigenbasis, reconstruct_with
from engine.models.learned.system import Encoded
from engine.models.match import MATCH
from engine.pipeline import Options, make_avatar
from engine.progress import Progress
from engine.synthetic.portraits import portrait, true_tracking
from engine.systems.match import MatchSystem
from tests.engine.systems.people import VIEWS, captured, decibels, drawn, head, person, shelved, system

pytestmark = pytest.mark.slow

STEPS, COUNT, FRAMES = 80, 8_000, 24
JAW, SMILE = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthSmileLeft")


class Planted(MatchSystem):
    """Answers for every frame what is known: all Gaussians redden with the jaw and are pushed by a smile."""

    known: Encoded
    resting: BoundGaussians

    def encode(self, capture: PosedImages) -> Encoded:
        return self.known

    def animate(self, encoded: Encoded, code: torch.Tensor) -> BoundGaussians:
        red, push = 0.2 * code[JAW] * torch.tensor((1.0, -1, -1)), 0.003 * code[SMILE] * torch.tensor((0.0, 0, 1))
        return replace(self.resting, colors=self.resting.colors + red, offsets=self.resting.offsets + push)


@pytest.fixture(scope="module")
def sequence() -> PosedImages:
    """Many frames of six photos' pictures, whose jaw and smile go up and down on their own."""
    taken = captured(VIEWS)
    rows = torch.arange(FRAMES) % len(taken.images)
    many = only(taken, rows.tolist())
    expressions = torch.zeros_like(many.expressions)
    expressions[:, [JAW, SMILE]] = torch.rand(FRAMES, 2, generator=torch.Generator().manual_seed(1))
    return replace(many, expressions=expressions, joint_rotations=torch.zeros_like(many.joint_rotations))


@pytest.fixture(scope="module")
def planted() -> GEMSystem:
    match = Planted(MATCH.small(), head()).eval().requires_grad_(False)
    match.known = system("match").encode(captured(1))
    resting = system("match").animate(match.known, torch.zeros(MOTION))
    match.resting = replace(resting, colors=torch.full_like(resting.colors, 0.5))
    return GEMSystem(match, Progress(), training_steps=STEPS)


def test_a_planted_motion_is_driven_but_for_static_parts_and_the_mouths_looks(planted, sequence, tmp_path):
    encoded = planted.encode(sequence)
    assert planted.moves and len(encoded.state.gem.basis) == 2 and len(encoded.state.gem.coefficients) == FRAMES
    code = torch.zeros(MOTION)
    code[JAW], code[SMILE] = 0.8, 0.2
    acted, true = planted.animate(encoded, code), planted.match.animate(encoded, code)
    rest, mean = planted.animate(encoded, torch.zeros(MOTION)), encoded.state.gem.mean
    corners, regions = head().faces[encoded.triangles.numpy()], head().regions
    lips, neck, teeth = (torch.from_numpy(regions[name][corners].all(1)) for name in ("lips", "neck", "teeth"))
    assert min(mask.sum() for mask in (lips, neck, teeth)) > 100
    for name in ("colors", "offsets"):
        told, still, goal = (getattr(each, name) for each in (acted, mean, true))
        assert (told - goal)[lips].norm() < 0.5 * (still - goal)[lips].norm()
        assert torch.equal(told[neck], still[neck])
    assert torch.equal(acted.colors[teeth], mean.colors[teeth]) and not torch.equal(acted.offsets, mean.offsets)
    torch.testing.assert_close((acted.offsets - mean.offsets)[teeth][:1], (acted.offsets - mean.offsets)[lips][:1])

    rest, eigenbasis, _ = fit_eigenbasis(planted, encoded, rest, Progress())
    codes = sequence.motions[::4]
    follows = fidelity(eigenbasis, rest, [planted.animate(encoded, each) for each in codes], codes)
    assert follows > 6
    model = HeadGaussians(
        encoded.rig,
        rest,
        rest.scales,
        encoded.seen,
        torch.zeros(len(rest), dtype=torch.long),
        torch.zeros(len(rest), dtype=torch.bool),
        Shoot(0, np.zeros((1, 9, 3)), np.ones(1, bool)),
        encoded.pairs,
        (),
        eigenbasis,
        {"eigenbasis_db": follows},
    )
    tracked = true_tracking(person(), [0])
    save(make_avatar("Planted", head(), model, (), tracked, Options(system="match")), tmp_path / "head.npz")
    again = load(tmp_path / "head.npz")
    moved, closed = drive(again, {"jawOpen": 0.8}).colors, drive(again, {}).colors
    torch.testing.assert_close(closed, rest.colors)
    reddened = (moved - closed)[lips].mean(0)
    assert reddened[0] > 0.05 and reddened[1:].max() < -0.05  # 0.16 if all of it came through
    assert torch.equal(moved[neck], closed[neck]) and torch.equal(moved[teeth], closed[teeth])


def test_frames_are_looked_at_with_the_ones_that_show_all_sides():
    taken = captured(VIEWS)
    x = [np.linalg.inv(viewmat)[:3, 3] for viewmat in taken.head_viewmats.double().numpy()]
    yaw = [np.degrees(np.arctan2(camera[0], camera[2])) for camera in x]
    assert around(taken) == {int(np.argmin(np.abs(yaw))), int(np.argmin(yaw)), int(np.argmax(yaw))}
    two = only(taken, [4, 1])
    for name in ("images", "masks", "viewmats", "Ks", "expressions", "joint_rotations"):
        assert torch.equal(getattr(two, name), getattr(taken, name)[[4, 1]])
    assert two.rig is taken.rig and two.texture is taken.texture


def test_one_photo_is_no_sequence(planted):
    with pytest.raises(PhotoError, match="how a face moves"):
        planted.encode(captured(1))


def test_photos_become_an_avatar_that_looks_like_them(tmp_path):
    """By MATCH with fresh weights, which change with what photos show; six photos are too few to tell motion by."""
    distiller = GEMSystem(system("match"), Progress(), training_steps=5)
    photos = [portrait(shelved(), view) for view in range(VIEWS)]
    tracked = true_tracking(person(), range(VIEWS))
    model = reconstruct_with(distiller, photos, tracked, head(), Progress(), COUNT)
    assert model.eigenbasis is None and not distiller.moves
    avatar = make_avatar("Sequence", head(), model, photos, tracked, Options(system="match", count=COUNT))
    save(avatar, tmp_path / "head.npz")
    again = load(tmp_path / "head.npz")
    for field in fields(BoundGaussians):
        assert torch.equal(getattr(again.gaussians, field.name), getattr(avatar.gaussians, field.name))
    taken = captured(VIEWS)
    for number in (0, 3):
        image = drawn(drive_view(again, again.views[number]), taken.viewmats[number], taken.Ks[number])
        goal, skin = taken.images[number].permute(1, 2, 0), taken.seen[number]
        flat = goal[skin].mean(0).expand_as(goal)
        assert decibels(image, goal, skin) > decibels(flat, goal, skin) + 3
