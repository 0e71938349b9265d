"""A head turned away: hair goes on where the photo ends, in its own colours, and never before what the photo shows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.arkit import ARKIT_NAMES
from engine.evaluation.angles import SOURCES, TARGETS, compare_angles, seen_face
from engine.evaluation.synthetic import draw
from engine.gaussians.binding import pose, triangle_frames
from engine.gaussians.gaussians import PARTS, select
from engine.heads import load_head
from engine.heads.parametric import JOINTS
from engine.models import parts
from engine.models.parts import furnish, grooming, strands
from engine.models.parts.grooming import groom_of
from engine.models.parts.strands import grow_hair
from engine.models.surface import surface
from engine.photos.photo import CROP
from engine.progress import Progress
from engine.synthetic import act
from engine.synthetic.person import make_person
from engine.synthetic.portraits import true_tracking

pytestmark = pytest.mark.slow

SHORT, LONG, BALD = 0, 18, 13  # held-out people: dark and cropped, light and long, and without
COUNT = 40_000


def photographed(seed):
    """The person, its one photo and its head before anything is drawn."""
    instants = [(np.zeros(len(ARKIT_NAMES)), np.zeros((len(JOINTS), 3)))] * 2
    person = act(seed, instants, CROP, directions=[np.radians(SOURCES[0]), np.radians(TARGETS[8])])
    photos = [seen_face(person, 0)]
    return person, photos, surface(photos, true_tracking(person, [0]), load_head(), Progress(), COUNT)


@pytest.fixture(scope="module")
def short():
    return photographed(SHORT)


@pytest.fixture(scope="module")
def long():
    return photographed(LONG)


def grown(made):
    """The head with hair, and its locks alone."""
    _, photos, model = made
    whole = grow_hair(model, photos, load_head())
    return whole, select(whole.gaussians, torch.arange(len(whole.gaussians)) >= len(model.gaussians))


def at_rest(gaussians, rig, turned=None):
    vertices = rig.neutral if turned is None else rig.deform(torch.zeros(len(rig.expression_basis)), turned)
    return pose(gaussians, vertices, rig.faces, triangle_frames(rig.neutral, rig.faces)[1]).means.numpy()


def test_from_behind_it_is_nearer_to_the_truth(monkeypatch):
    def behind():
        found = compare_angles(1, 1, COUNT, Progress(), ("surface",))
        return next(score for score in found if score.bin == "90-180")

    haired = behind()
    monkeypatch.setattr(parts, "grow_hair", lambda model, photos, head: model)
    capped = behind()
    assert haired.lpips < capped.lpips - 0.04
    assert haired.psnr > capped.psnr - 0.2 and haired.iou > capped.iou - 0.02


def test_the_photo_is_left_alone(short):
    person, photos, model = short
    whole, _ = grown(short)
    with torch.no_grad():
        before, after = (
            draw(each.gaussians, each.rig, person, 0, CROP, torch.ones(3))[0].clamp(0, 1) for each in (model, whole)
        )
    inner = torch.from_numpy(person.visible[0])  # of the mesh, without the hair's rim
    assert (before - after).abs()[inner].mean() < 0.004
    assert (before - after).abs().mean() < 0.01


def test_its_colours_are_those_of_the_photo(short):
    _, photos, model = short
    _, locks = grown(short)
    groom = groom_of(model, photos, load_head())
    shown = model.gaussians.colors.numpy()[groom.shown]
    made = locks.colors.numpy()
    assert np.abs(np.median(made, axis=0) - np.median(shown, axis=0)).max() < 0.06
    spread = [np.subtract(*np.percentile(colors.mean(axis=1), (80, 20))) for colors in (made, shown)]
    assert 0.6 < spread[0] / spread[1] < 1.5


def test_short_hair_ends_at_the_nape_and_long_hair_falls_down_the_back(short, long):
    ears = load_head().template[load_head().regions["ears"], 1].min()
    for made, low in ((short, -0.05), (long, -0.20)):
        whole, locks = grown(made)
        heights = at_rest(locks, whole.rig)[:, 1] - ears
        assert low < np.percentile(heights, 1) < low + 0.09
    assert make_person(LONG).traits.style == "long"


def test_long_hair_follows_the_head_above_and_the_torso_below(long):
    whole, locks = grown(long)
    turn = torch.zeros(len(JOINTS), 3)
    turn[JOINTS.index("head"), 1] = 0.4
    rest, turned = at_rest(locks, whole.rig), at_rest(locks, whole.rig, turn)
    away = np.linalg.norm(turned - rest, axis=1) / np.maximum(np.hypot(rest[:, 0], rest[:, 2]), 0.02)
    order = np.argsort(rest[:, 1])
    assert away[order[-500:]].mean() > 0.3 > 0.15 > away[order[:500]].mean()
    hangs = (locks.parts == PARTS.index("hair")).numpy()
    assert rest[hangs, 1].mean() < rest[~hangs, 1].mean()


def test_a_head_model_with_another_origin_has_the_same_hair(short, monkeypatch):
    """FLAME's lies elsewhere than the default head's."""
    monkeypatch.setattr(strands, "_hidden", lambda model, photos, means, loose: np.ones(len(means), bool))
    monkeypatch.setattr(grooming, "_coherence", lambda *of: 1.0)
    head, (_, photos, model), shift = load_head(), short, np.array([0.01, -0.04, 0.03], np.float32)
    there = replace(head, template=head.template + shift)
    moved = replace(model, rig=replace(model.rig, neutral=model.rig.neutral + torch.from_numpy(shift)))
    here, away = grow_hair(model, photos, head), grow_hair(moved, photos, there)
    assert abs(len(here.gaussians) - len(away.gaussians)) < 100  # rounding decides at the thin ends
    lows = [
        np.percentile(at_rest(made.gaussians, made.rig)[len(model.gaussians) :], 2, axis=0) for made in (here, away)
    ]
    assert np.allclose(lows[0] + shift, lows[1], atol=5e-4)


def test_a_bald_head_stays_bald():
    _, photos, model = photographed(BALD)
    assert make_person(BALD).traits.style == "bald"
    assert groom_of(model, photos, load_head()) is None
    assert grow_hair(model, photos, load_head()) is model


def test_all_of_it_is_fixed_and_small(short):
    _, photos, model = short
    whole = furnish(model, photos, load_head())
    bare, _ = grown(short)
    added = len(bare.gaussians) - len(model.gaussians)
    assert 10_000 < added < 60_000
    assert whole.fixed[-added:].all() and not whole.seen[-added:].any()
    assert torch.isfinite(whole.gaussians.offsets).all() and (whole.gaussians.scales > 0).all()
