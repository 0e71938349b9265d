"""Captures: photos, cameras and the pixels' places on the head agree with what was drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.models.learned.posed_images import PosedImages, driving_code, pose_images
from engine.synthetic.portraits import portrait, true_tracking
from tests.engine.systems.people import SIZE, captured, head, person, shelved


@pytest.fixture(scope="module")
def taken() -> PosedImages:
    return captured(4)


@pytest.mark.slow
def test_photos_of_the_pipeline_become_the_capture_that_training_sees(taken):
    """Enlarged to photos of the pipeline and back: the same cameras, and pictures but for the enlarging's blur."""
    photos = [portrait(shelved(), view) for view in range(2)]
    two = captured(2)
    one = pose_images(photos, true_tracking(person(), range(2)), head(), two.texture, SIZE)
    torch.testing.assert_close(one.Ks, two.Ks)
    for name in ("viewmats", "expressions", "joint_rotations"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    torch.testing.assert_close(one.rig.neutral, two.rig.neutral)
    assert one.images.shape == (2, 3, SIZE, SIZE) and one.masks.shape == (2, 1, SIZE, SIZE)
    smooth = (two.images[..., 1:-1, 2:] - two.images[..., 1:-1, :-2]).abs().amax(1) < 0.02
    smooth &= (two.images[..., 2:, 1:-1] - two.images[..., :-2, 1:-1]).abs().amax(1) < 0.02
    apart = (one.images - two.images).abs().amax(1)[:, 1:-1, 1:-1]
    assert smooth.float().mean() > 0.4
    assert apart[smooth].quantile(0.99) < 0.02 and apart.mean() < 0.01
    assert (one.masks - two.masks).abs().mean() < 0.01
    assert two.images[:, :, 0, 0].min() > 0.99  # white around


@pytest.mark.slow
def test_pixels_know_which_skin_they_show(taken):
    """The renderer's own truth is about the head without hair and beard: above the mouth both are the same."""
    truth, h = person(), head()
    triangle, barycentric = taken.raster
    above = h.template[h.faces, 1].min(axis=1) > h.template[h.regions["lips"], 1].max()
    face = np.flatnonzero(h.face_region("face") & above)
    both = torch.from_numpy(np.isin(truth.triangle[:4], face) & truth.visible[:4]) & taken.seen
    assert both.sum() > 10_000
    same = both & (triangle == torch.from_numpy(truth.triangle[:4]).long())
    assert same.sum() > 0.95 * both.sum()
    uv, expected = taken.uv(h.uv, h.uv_faces).permute(0, 2, 3, 1)[same], torch.from_numpy(truth.uv[:4])[same]
    assert (uv - torch.stack((expected[:, 0], 1 - expected[:, 1]), dim=1)).norm(dim=1).max() < 1 / 256
    assert barycentric[taken.raster[0] < 0].abs().max() == 0
    assert torch.all(taken.masks[:, 0][taken.seen] > 0.5) and torch.all(triangle[taken.seen] >= 0)


@pytest.mark.slow
def test_the_heads_camera_sees_the_resting_head_where_the_camera_sees_the_turned_one(taken):
    """At vertices that only the head's turning moves."""
    rig = taken.rig
    rigid = (rig.skin_weights[:, 1 + rig.chain[-1]] > 0.9999) & (rig.expression_basis.abs().amax(dim=(0, 2)) < 1e-7)
    assert rigid.sum() > 200
    for view in range(4):
        assert not torch.allclose(taken.posed[view][rigid], rig.neutral[rigid], atol=1e-3)
        at_rest = rig.neutral[rigid] @ taken.head_viewmats[view, :3, :3].T + taken.head_viewmats[view, :3, 3]
        turned = taken.posed[view][rigid] @ taken.viewmats[view, :3, :3].T + taken.viewmats[view, :3, 3]
        torch.testing.assert_close(at_rest, turned, rtol=0, atol=2e-5)


def test_codes_tell_expressions_and_gaze_but_not_how_the_head_is_held(taken):
    expression, rotations = taken.expressions[1], taken.joint_rotations[1]
    code = driving_code(taken.rig, expression, rotations)
    torch.testing.assert_close(code, taken.motions[1])
    held = rotations.clone()
    held[[head().joint_names.index("neck"), head().joint_names.index("head")]] += 0.2
    assert torch.equal(driving_code(taken.rig, expression, held), code)
    looking = rotations.clone()
    looking[head().joint_names.index("eyeLeft")] += 0.2
    assert (driving_code(taken.rig, expression, looking) - code).abs().max() > 0.1
    assert (driving_code(taken.rig, expression + 0.1, rotations) - code).abs().max() > 0.05
