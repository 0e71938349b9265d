"""What refinement learned of the skin that a photo sees goes on where none does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import assets
from engine.gaussians.gaussians import PARTS
from engine.heads import load_head
from engine.models.parts.light import GREY
from engine.models.surface import surface
from engine.photos import load_photos
from engine.pipeline import track
from engine.progress import Progress
from engine.refinement.healing import heal


@pytest.fixture(scope="module")
def head():
    return load_head()


@pytest.fixture(scope="module")
def begun(head):
    """A head of one grey."""
    photos = load_photos([assets.path("samples/person_a_2.jpg")], Progress()).photos
    made = surface(photos, track(photos, head, Progress()), head, Progress(), 30_000)
    return replace(made, gaussians=replace(made.gaussians, colors=torch.full_like(made.gaussians.colors, 0.5)))


def healed(begun, head, change):
    """The change of colour [N, 3] after healing, where ``change`` [N, 3] is what refinement did."""
    refined = replace(begun.gaussians, colors=begun.gaussians.colors + change)
    return heal(begun, refined, head).colors - begun.gaussians.colors


@pytest.mark.slow
def test_a_darker_rim_goes_on_beyond_it_and_fades(head, begun):
    on_face = torch.from_numpy(head.face_region("face", "ears", "neck"))[begun.gaussians.triangles]
    on_face &= begun.gaussians.parts == PARTS.index("surface")
    seen, unseen = on_face & (begun.square == 1), on_face & (begun.square == 0)
    change = torch.where((begun.square > 0)[:, None], -0.1, 0.0)
    after = healed(begun, head, change).mean(dim=1)
    assert torch.allclose(after[seen], torch.tensor(-0.1), atol=1e-5)
    position = begun.rig.neutral[begun.rig.faces[begun.gaussians.triangles]] * begun.gaussians.barycentrics[..., None]
    position = position.sum(dim=1)
    far = torch.cdist(position[unseen], position[on_face & (begun.square > 0)]).amin(dim=1)
    near, beyond = after[unseen][far < 0.005], after[unseen][far > 0.05]
    assert len(near) > 50 and len(beyond) > 50
    assert near.mean() < -0.05 and abs(float(beyond.mean())) < 0.02


@pytest.mark.slow
def test_unseen_skin_is_as_grainy_as_the_skin_that_is_seen(head, begun):
    rough = torch.from_numpy(np.random.default_rng(3).normal(0, 0.03, (len(begun.gaussians), 1))).float()
    after = healed(begun, head, torch.where((begun.square > 0)[:, None], rough, 0.0))
    face = torch.from_numpy(head.face_region("face"))[begun.gaussians.triangles]
    face &= begun.gaussians.parts == PARTS.index("surface")
    grey = after.numpy() @ GREY

    def grain(where: torch.Tensor) -> float:
        one, other = begun.pairs[where[begun.pairs].all(dim=1)].numpy().T
        return float(np.median(np.abs(grey[one] - grey[other])))

    assert grain(face & (begun.square == 0)) == pytest.approx(grain(face & (begun.square == 1)), rel=0.15)
