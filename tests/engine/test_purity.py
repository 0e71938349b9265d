"""Every stage that works where its inputs are, on a card (:mod:`tests.engine.card`): nothing of it stays behind on the
CPU, and what comes out is what the CPU makes."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from engine.device import moved
from engine.systems import make_system
from tests.engine.card import MixedDevices, OnCard, card
from tests.engine.systems.people import NAMES, captured, head

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize("name", NAMES)
def test_a_network_answers_and_learns_where_it_is(name):
    torch.manual_seed(0)
    system, capture = make_system(name, "tiny", head(), {}), captured(2)

    def learned(system, capture):
        encoded = system.encode(capture)
        gaussians = system.animate(encoded, capture.motions[1])
        torch.cat((gaussians.colors, gaussians.offsets, gaussians.scales), dim=1).square().mean().backward()
        return gaussians, [p.grad for p in system.network.parameters() if p.grad is not None]

    with card() as there:
        copied = deepcopy(system).to(there)
        found, slopes = learned(copied, moved(capture, there))
        assert all(isinstance(each, OnCard) for each in (*vars(found).values(), *slopes))
    found = {field: value.inner for field, value in vars(found).items()}
    expected, wanted = learned(system, capture)
    for field, value in vars(expected).items():
        torch.testing.assert_close(found[field], value, atol=1e-5, rtol=1e-4)
    assert len(wanted) == len(slopes)
    for ours, theirs in zip(wanted, slopes, strict=True):
        torch.testing.assert_close(theirs.inner, ours, atol=1e-5, rtol=1e-3)
