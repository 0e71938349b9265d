"""Ears and neck meet the matte: another person's outline in front of the mean head."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.gaussians.mesh_raster import rasterize_mesh
from engine.heads.rig import make_rig
from engine.models.surface.outline import fit_outline
from engine.models.surface.views import view_geometry
from engine.photos.photo import WINDOW
from engine.progress import Progress
from engine.tracking import track


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.slow
def test_standing_ears_are_found_in_the_matte_and_the_face_stays(head, pair):
    tracked = track(pair[:1], head, Progress())
    rig = make_rig(head, tracked.neutral, tracked.joints)
    ears = head.regions["ears"]
    flared = rig.neutral.clone()
    side = torch.sign(flared[:, 0])
    root = torch.as_tensor(np.abs(rig.neutral[ears, 0].numpy()).min())
    out = ((flared[:, 0].abs() - root).clamp_min(0) * torch.from_numpy(ears)).float()
    flared[:, 0] += side * 0.6 * out
    view = tracked.views[0]
    truth = view_geometry(replace(rig, neutral=flared), view)
    alpha = rasterize_mesh(truth.camera, head.faces, view.K, WINDOW, WINDOW).covered
    photo = replace(pair[0], alpha=alpha.astype(np.float32), valid=np.ones_like(alpha))

    fitted = fit_outline(head, rig, [photo], [view])
    before, after = (np.isfinite(view_geometry(each, view).raster.depth) for each in (rig, fitted))
    pixels = truth.pixels[ears].astype(int)
    around = np.s_[pixels[:, 1].min() : pixels[:, 1].max(), pixels[:, 0].min() - 8 : pixels[:, 0].max() + 8]
    missed = [1 - overlap(each[around], alpha[around]) for each in (before, after)]
    assert missed[1] < 0.5 * missed[0]
    still = head.regions["lips"] | head.regions["lids"] | head.regions["brows"]
    assert torch.equal(fitted.neutral[still], rig.neutral[still])


@pytest.mark.slow
def test_a_matte_that_ends_far_away_moves_nothing(head, pair):
    tracked = track(pair[:1], head, Progress())
    rig = make_rig(head, tracked.neutral, tracked.joints)
    everywhere = np.ones_like(pair[0].alpha)
    photo = replace(pair[0], alpha=everywhere, valid=np.ones_like(everywhere, bool))
    assert torch.equal(fit_outline(head, rig, [photo], tracked.views[:1]).neutral, rig.neutral)
