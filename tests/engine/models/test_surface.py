"""The surface system and the refinement, on a real photo and on a made-up one whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import assets
from engine.gaussians.gaussians import PARTS
from engine.heads.rig import make_rig
from engine.models.surface import surface
from engine.models.surface.beyond import still_triangles
from engine.models.surface.hull import inflate
from engine.models.surface.views import view_geometry
from engine.photos import load_photos
from engine.photos.crop import crop_target
from engine.pipeline import Options, make_avatar
from engine.progress import Progress
from engine.refinement import refine
from engine.rendering import crop_view, render_view
from engine.tracking import drive_landmarks, subject, track

pytestmark = pytest.mark.slow

COUNT = 40_000


@pytest.fixture(scope="module")
def tracked(head, pair):
    return track(pair[:1], head, Progress())


@pytest.fixture(scope="module")
def model(head, pair, tracked):
    return surface(pair[:1], tracked, head, Progress(), COUNT)


def difference(model, head, photo, view) -> float:
    """Mean absolute difference on the crop over white, inside the photo."""
    picture = seen(model, head, photo, view)
    target = crop_target(photo)
    goal = target.image + (1 - target.alpha)
    valid = target.valid[..., 0] > 0
    return float((picture.over(1.0) - goal)[valid].abs().mean())


def seen(model, head, photo, view):
    avatar = make_avatar("x", head, model, [photo], replace(TRACKED[0], views=(view,)), Options())
    return render_view(avatar, crop_view(avatar.views[0]))


TRACKED = []


@pytest.fixture(autouse=True)
def _remember(tracked):
    TRACKED[:] = [tracked]


def test_the_photo_is_seen_again_from_its_own_camera(model, head, pair, tracked):
    assert difference(model, head, pair[0], tracked.views[0]) < 0.04
    assert abs(len(model.gaussians) - COUNT) < 0.4 * COUNT
    assert (model.gaussians.parts == PARTS.index("torso")).any()
    assert torch.isfinite(model.gaussians.colors).all()


def test_the_hull_reaches_the_matte_and_leaves_the_face_alone(head, pair, tracked):
    rig = make_rig(head, tracked.neutral, tracked.joints)
    inflated = inflate(head, rig, pair[:1], tracked.views)
    moved = np.linalg.norm(inflated.neutral.numpy() - tracked.neutral, axis=1)
    assert moved[head.regions["scalp"]].max() > 0.005
    assert moved[~head.regions["scalp"]].max() < 1e-6
    above_brows = pair[0].landmarks[10, 1]
    rows = np.arange(pair[0].alpha.shape[0]) < above_brows
    matte = (pair[0].alpha > 0.5) & rows[:, None] & pair[0].valid

    def overlap(r) -> float:
        covered = view_geometry(r, tracked.views[0]).raster.covered & rows[:, None] & pair[0].valid
        return (covered & matte).sum() / (covered | matte).sum()

    assert overlap(inflated) > max(0.9, overlap(rig) + 0.02)


def test_hair_and_shoulders_that_the_hull_does_not_hold_are_filled_from_the_matte(head):
    photos = load_photos([assets.path("samples/astronaut.png")], Progress()).photos
    parts = surface(photos, track(photos, head, Progress()), head, Progress(), COUNT).gaussians.parts
    assert (parts == PARTS.index("hair")).any() and (parts == PARTS.index("torso")).any()


def test_what_lies_beyond_the_mesh_hangs_on_triangles_that_no_expression_moves(model, head):
    loose = model.gaussians.parts != PARTS.index("surface")
    assert np.isin(model.gaussians.triangles[loose].numpy(), still_triangles(head)).all()


def test_refinement_helps_frames_that_it_has_not_seen(head):
    frames = load_photos([assets.path("samples/single_face.mp4")], Progress(), frames=3).photos
    tracked = track(frames[:1], head, Progress())
    TRACKED[:] = [tracked]
    model = surface(frames[:1], tracked, head, Progress(), COUNT)
    refined, views = refine(model, frames[:1], model.views, head, Progress(), seconds=12)
    assert difference(refined, head, frames[0], views[0]) < 0.5 * difference(model, head, frames[0], views[0])
    person = subject(tracked, head, frames[:1])
    for frame in frames[1:]:
        driven = drive_landmarks(person, frame)
        assert difference(refined, head, frame, driven) < difference(model, head, frame, driven)
    rim = (model.seen > 0.5) & (model.seen < 0.6)  # no dark seam where what is seen ends
    assert rim.sum() > 50 and (refined.gaussians.colors - model.gaussians.colors)[rim].abs().max() < 0.1
    inner = torch.from_numpy(head.face_region("mouth_interior"))[model.gaussians.triangles]
    inner &= model.gaussians.parts == PARTS.index("surface")
    assert torch.equal(refined.gaussians.colors[inner], model.gaussians.colors[inner])
    assert torch.allclose(refined.gaussians.quats.norm(dim=1), torch.ones(len(refined.gaussians)), atol=1e-4)


def test_unseen_skin_takes_the_colour_of_the_other_side(head, pair, tracked):
    """A photo whose left half is hidden still gives a face of one colour."""
    half = pair[0].alpha.copy()
    half[:, : int(pair[0].landmarks[1, 0])] = 0
    hidden = replace(pair[0], alpha=half)
    model = surface([hidden], tracked, head, Progress(), 20_000)
    g = model.gaussians
    x = (model.rig.neutral[model.rig.faces[g.triangles]] * g.barycentrics[..., None]).sum(1)[:, 0]
    face = torch.from_numpy(head.face_region("face"))[g.triangles] & (g.parts == 0) & (x.abs() > 0.02)
    left, right = g.colors[face & (x > 0)].median(dim=0).values, g.colors[face & (x < 0)].median(dim=0).values
    assert (left - right).abs().max() < 0.12


def test_several_photos_share_one_exposure(head, pair):
    """A photo that is a third darker is evened out to the first one's light."""
    dark = replace(pair[0], image=pair[0].image * 0.7, foreground=pair[0].foreground * 0.7, name="dark.jpg")
    both = track([pair[0], dark], head, Progress())
    model = surface([pair[0], dark], both, head, Progress(), 20_000)
    exposure = np.exp(model.shoot.lights[1, 0] - model.shoot.lights[0, 0])
    assert np.allclose(exposure, 0.7, atol=0.05)
