"""A sequence through MATCH, distilled, to an avatar that is saved, loaded and driven."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.arkit import ARKIT_NAMES
from engine.avatar import Avatar, drive, drive_view, load, save
from engine.errors import PhotoError
from engine.gaussians.eigenbasis import motion_features
from engine.models.learned.gem import GEMSystem, frame
from engine.models.learned.reconstruct import reconstruct_with
from engine.models.learned.system import Look
from engine.pipeline import Options, make_avatar
from engine.progress import Progress
from engine.synthetic.portraits import portrait, true_tracking
from tests.engine.models.learned.people import VIEWS, captured, decibels, drawn, head, person, shelved, system

STEPS, COUNT, FEW = 300, 15_000, 4


@pytest.fixture(scope="module")
def distiller() -> GEMSystem:
    """On MATCH with fresh weights: they change colours, shapes and opacities with what a photo shows."""
    return GEMSystem(system("match"), Progress(), training_steps=STEPS)


@pytest.fixture(scope="module")
def looked(distiller) -> Look:
    return distiller.look(captured(FEW))


def test_frames_come_back_and_what_is_static_does_not_move(distiller, looked):
    """Frames as MATCH itself answers, where Gaussians may move; neck and teeth as they may."""
    taken, match = captured(FEW), system("match")
    gem, regressor = looked.state.gem, looked.state.regressor
    assert len(gem.basis) <= FEW and len(gem.mean) == len(looked.triangles)
    corners = head().faces[looked.triangles.numpy()]
    regions = head().regions
    neck = torch.from_numpy(regions["neck"][corners].all(axis=1))
    lips, teeth = (torch.from_numpy(regions[name][corners].all(axis=1)) for name in ("lips", "teeth"))
    told = mean = 0.0
    for number in (0, 3):
        true = match.act(match.look(frame(taken, number)), taken.motions[number])
        acted = distiller.act(looked, taken.motions[number])
        torch.testing.assert_close(acted.colors, gem.at(regressor(_features(taken, number))).colors)
        told += (acted.colors - true.colors)[lips].square().sum().item()
        mean += (gem.mean.colors - true.colors)[lips].square().sum().item()
        assert torch.equal(acted.offsets[neck], gem.mean.offsets[neck])
        assert torch.equal(acted.colors[teeth], gem.mean.colors[teeth])
        assert not torch.equal(acted.offsets[teeth], gem.mean.offsets[teeth])
    assert told < 0.5 * mean


def _features(taken, number: int) -> torch.Tensor:
    still = taken.joint_rotations[number].clone()
    still[[head().joint_names.index(name) for name in ("neck", "head")]] = 0
    return motion_features(taken.expressions[number], still)


def test_one_photo_is_no_sequence(distiller):
    with pytest.raises(PhotoError, match="how a face moves"):
        distiller.look(captured(1))


@pytest.fixture(scope="module")
def avatar(distiller) -> Avatar:
    photos = [portrait(shelved(), view) for view in range(VIEWS)]
    tracked = true_tracking(person(), range(VIEWS))
    model = reconstruct_with(distiller, photos, tracked, head(), Progress(), COUNT)
    return make_avatar("Sequence", head(), model, photos, tracked, Options(system="match", count=COUNT))


def test_the_avatar_is_saved_loaded_and_driven(avatar, tmp_path):
    save(avatar, tmp_path / "head.npz")
    again = load(tmp_path / "head.npz")
    assert again.eigenbasis is not None and again.provenance["metrics"]["eigenbasis_db"] > 3
    rest = drive(again, {})
    torch.testing.assert_close(rest.colors, again.gaussians.colors)
    shown = dict(zip(ARKIT_NAMES, person().expression[0], strict=True))
    moved = drive(again, shown)
    without = drive(replace(again, eigenbasis=None), shown)
    assert (moved.means - without.means).norm(dim=1).max() > 1e-5  # beyond what the mesh does
    assert torch.isfinite(torch.cat([value.flatten() for value in vars(moved).values()])).all()


def test_it_looks_like_its_frames(avatar):
    taken = captured(VIEWS)
    for number in (0, 3):
        image = drawn(drive_view(avatar, avatar.views[number]), taken.viewmats[number], taken.Ks[number])
        goal, skin = taken.images[number].permute(1, 2, 0), taken.seen[number]
        flat = goal[skin].mean(0).expand_as(goal)
        assert decibels(image, goal, skin) > decibels(flat, goal, skin) + 3
