"""Every stage that works where its inputs are, on a card (:mod:`tests.engine.card`): nothing of it stays behind on the
CPU, and what comes out is what the CPU makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.heads import load_head
from engine.heads.atlas import make_atlas
from engine.models.learned.posed_images import PAINTED
from engine.synthetic import sample
from engine.synthetic.shelf import ShelvedSample
from engine.training.config import TrainConfig
from engine.training.objective import Objective
from tests.engine.card import MixedDevices, OnCard, card
from tests.engine.systems.people import NAMES

pytestmark = pytest.mark.slow
STEP = 3  # shows two photos
VIEWS, SIZE = 4, 128


def test_the_card_refuses_what_a_card_refuses():
    with card() as there:
        ours, theirs = torch.ones(2, 3), torch.ones(2, 3, device=there)
        for mix in (
            lambda: theirs + ours,
            lambda: ours[theirs > 0],
            lambda: theirs[torch.zeros(1, dtype=torch.long)],
            lambda: torch.cat((theirs, ours)),
            lambda: torch.stack((theirs.sum(), torch.zeros(()))),
            lambda: torch.nn.Linear(3, 3)(theirs),
        ):
            with pytest.raises(MixedDevices):
                mix()
        with pytest.raises(RuntimeError, match="numpy"):
            theirs.numpy()
        assert (theirs + torch.tensor(2.0) * theirs[[0, 1]]).tolist() == [[3.0] * 3] * 2


@pytest.fixture(scope="module")
def person() -> ShelvedSample:
    return ShelvedSample.of(sample(8, VIEWS, SIZE, same_expression=False))


@pytest.fixture(scope="module")
def samples(tmp_path_factory, person):
    """A coat for all five, of any colours."""
    folder, rng = tmp_path_factory.mktemp("samples"), np.random.default_rng(0)
    texels = int(make_atlas(load_head().uv, load_head().uv_faces, PAINTED).mask.sum())
    shares = {"colors": (texels, 3), "seen": (texels,), "presence": (texels,)}
    (folder / "coats").mkdir()
    coat = {name: rng.integers(0, 256, shape).astype(np.uint8) for name, shape in shares.items()}
    np.savez(folder / "coats" / f"{person.seed}-2.npz", neutral=person.neutral, **coat)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_happens_where_the_network_is(name, person, samples):
    """Photos in, targets drawn, losses, backward, AdamW: with the CPU's losses and gradients."""

    def stepped(device: torch.device):
        objective = Objective(name, "tiny", TrainConfig(name, samples, steps=1, samples=samples))
        objective.learned.half = device.type == "card"  # which takes autocast's word and does nothing
        objective.to(device)
        optimizer = torch.optim.AdamW(objective.network.parameters(), fused=True)
        losses = objective([person], STEP)
        torch.stack(list(losses.values())).sum().backward()
        slopes = [p.grad for p in objective.network.parameters() if p.grad is not None]
        optimizer.step()
        return [*losses.values(), *slopes]

    expected = stepped(torch.device("cpu"))
    with card() as there:
        found = stepped(there)
    assert len(found) == len(expected) and all(isinstance(each, OnCard) for each in found)
    for theirs, ours in zip(found, expected, strict=True):
        torch.testing.assert_close(theirs.inner, ours, atol=1e-5, rtol=1e-3)
