"""The networks that come with the engine, on a person whom no training saw: as near as ``surface``, saved, driven."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional

from engine.avatar import drive, load, save
from engine.errors import EngineError
from engine.evaluation.metrics import psnr
from engine.evaluation.synthetic import SHRINK, compare_all, drawn
from engine.gaussians.gaussians import PARTS
from engine.heads import load_head
from engine.photos.photo import CROP
from engine.pipeline import Options, make_avatar
from engine.progress import Progress
from engine.refinement import refine
from engine.synthetic import HELD_OUT, sample
from engine.synthetic.portraits import portrait, true_tracking
from engine.systems import networks, system

COUNT = 20_000
MOVING = {"ffavatar": 6.0, "avat3r": 0.0, "flexavatar": 6.0}  # dB that the baked motion keeps at least


@pytest.fixture(scope="module")
def person():
    return sample(HELD_OUT.start, 3, CROP, same_expression=False)


@pytest.fixture(scope="module")
def reconstruct(person):
    """Of a system's name, what it makes of the person's first view, and the avatar of that; made once each."""

    @cache
    def one(name):
        photos, tracked = [portrait(person, 0)], true_tracking(person, [0])
        options = Options(name, refine_seconds=0, count=COUNT)
        made = system(name).reconstruct(photos, tracked, load_head(), Progress(), options.gaussians)
        return made, make_avatar(name, load_head(), made, photos, tracked, options)

    return one


def likeness(made, person):
    """Mean PSNR on the views that the photo is not, in another expression."""
    scores = []
    for view in (1, 2):
        alpha = person.alpha[view][..., None]
        goal = torch.from_numpy(person.rgb[view] + (1 - alpha) * (1 - person.background)).permute(2, 0, 1)[None]
        scores.append(psnr(drawn(made, person, view), functional.avg_pool2d(goal, SHRINK)))
    return float(np.mean(scores))


@pytest.fixture(scope="module")
def surface_likeness(reconstruct, person):
    return likeness(reconstruct("surface")[0], person)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(networks()))
def test_a_shipped_network_draws_a_stranger_as_well_as_surface(name, reconstruct, person, surface_likeness, tmp_path):
    made, avatar = reconstruct(name)
    assert likeness(made, person) > surface_likeness - 0.3
    save(avatar, tmp_path / "head.npz")
    again = load(tmp_path / "head.npz")
    rest, spoken = drive(again, {}), drive(again, {"jawOpen": 0.8})
    lips = load_head().regions["lips"][load_head().faces].all(1)[again.gaussians.triangles.numpy()]
    assert (spoken.means - rest.means).norm(dim=1)[torch.from_numpy(lips)].max() > 0.005
    assert (again.eigenbasis is not None) == (name in MOVING)
    if name in MOVING:
        assert again.provenance["metrics"]["eigenbasis_db"] > MOVING[name]


@pytest.mark.slow
def test_refinement_starts_from_gaussians_that_cover_and_can_give_way(reconstruct, person):
    """A network's Gaussians are sharper than their spacing, or blurs where it only guesses, and all but opaque. Those
    that refinement starts from are as wide as surface's, in place, and let through enough light to learn from."""
    painted, _ = reconstruct("surface")
    made, _ = reconstruct("uika")
    on_mesh = made.gaussians.parts == PARTS.index("surface")
    width = painted.gaussians.scales[painted.gaussians.parts == PARTS.index("surface")].median()
    assert made.gaussians.scales[on_mesh].median() < 0.9 * width
    begun, _ = refine(made, [portrait(person, 0)], made.views, load_head(), Progress(), seconds=1e-9)
    assert begun.gaussians.scales[on_mesh].median() == pytest.approx(float(width), rel=0.05)
    torch.testing.assert_close(begun.gaussians.scales, made.cover)
    torch.testing.assert_close(begun.gaussians.opacities, made.gaussians.opacities)  # nothing had a say in them
    once, _ = refine(made, [portrait(person, 0)], made.views, load_head(), Progress(), iterations=1)
    gave_way = once.gaussians.opacities < made.gaussians.opacities - 0.05
    assert made.gaussians.opacities.max() > 0.99 and gave_way.float().mean() > 0.3
    guessed = made.gaussians.scales.amax(dim=1) > 2 * made.cover.amax(dim=1)
    assert guessed.sum() > 1000 and not begun.gaussians.offsets[guessed].any()
    torch.testing.assert_close(begun.gaussians.offsets[~guessed], made.gaussians.offsets[~guessed])


def test_more_people_than_there_are_is_refused():
    with pytest.raises(EngineError, match="1000 held-out people"):
        compare_all(1001, 1, COUNT, Progress())


def test_networks_refuse_other_heads_before_any_work():
    with pytest.raises(EngineError, match="default head"):
        Options("match", head="flame.pkl")
