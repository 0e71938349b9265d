"""Refinement works on what photos show; the rest costs nothing and stays as it was."""

import numpy as np
import pytest
import torch

from engine.arkit import ARKIT_NAMES
from engine.evaluation.angles import seen_face
from engine.evaluation.synthetic import draw, over_white
from engine.gaussians.binding import pose, triangle_frames
from engine.heads import load_head
from engine.heads.parametric import JOINTS
from engine.models.parts import furnish
from engine.models.surface import surface
from engine.photos.photo import CROP
from engine.progress import Progress
from engine.refinement import refine
from engine.synthetic import act
from engine.synthetic.portraits import true_tracking


@pytest.fixture(scope="module")
def person():
    instants = [(np.zeros(len(ARKIT_NAMES)), np.zeros((len(JOINTS), 3)))]
    return act(0, instants, CROP, directions=[(0.1, 0.05)])


@pytest.fixture(scope="module")
def begun(person):
    photos = [seen_face(person, 0)]
    return furnish(
        surface(photos, true_tracking(person, [0]), load_head(), Progress(), 60_000), photos, load_head()
    ), photos


@pytest.fixture(scope="module")
def refined(begun):
    start, photos = begun
    return refine(start, photos, start.views, load_head(), Progress(), iterations=12)[0]


@pytest.mark.slow
def test_the_back_of_the_head_stays_as_it_was(begun, refined):
    start, _ = begun
    rig = start.rig
    means = pose(start.gaussians, rig.neutral, rig.faces, triangle_frames(rig.neutral, rig.faces)[1]).means
    back = (means[:, 2] < -0.08) & ((means[:, 1] - 0.06).abs() < 0.05) & (means[:, 0].abs() < 0.05)
    assert back.sum() > 4_000
    for name, off in (("colors", 0.01), ("opacities", 0.0), ("quats", 1e-6)):  # healing carries colour on, faintly
        change = getattr(refined.gaussians, name)[back] - getattr(start.gaussians, name)[back]
        assert (change.abs() <= off).float().mean() > 0.85  # little light comes through a head
    assert (refined.gaussians.offsets - start.gaussians.offsets)[back].abs().max() < 3e-4  # with the skin, if at all
    assert len(refined.gaussians) == len(start.gaussians) and torch.equal(refined.pairs, start.pairs)


@pytest.mark.slow
def test_what_the_photo_shows_comes_nearer_to_it(person, begun, refined):
    def off(made):
        with torch.no_grad():
            image, _ = draw(made.gaussians, made.rig, person, 0, CROP, torch.ones(3))
        return float((image.permute(2, 0, 1)[None] - over_white(person, 0)).abs().mean())

    assert off(refined) < 0.8 * off(begun[0])


@pytest.mark.slow
def test_a_head_of_some_gaussians_keeps_what_belongs_to_them(begun):
    start, _ = begun
    mask = torch.rand(len(start.gaussians), generator=torch.Generator().manual_seed(0)) < 0.5
    part = start.kept(mask)
    assert len(part.gaussians) == len(part.seen) == len(part.owner) == len(part.fixed) == len(part.cover) == mask.sum()
    both = mask[start.pairs].all(dim=1)
    where = torch.nonzero(mask)[:, 0]
    assert torch.equal(where[part.pairs], start.pairs[both])
