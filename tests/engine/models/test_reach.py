"""Bounds of the offsets: lips stay closed over teeth whatever a network says, and hair keeps its room."""

from __future__ import annotations

import torch

from engine.gaussians.gaussians import PARTS, BoundGaussians
from engine.heads import load_head
from engine.models.reach import REACH, bounded, reach


def test_every_region_has_its_room():
    head = load_head()
    count = len(head.faces)
    everywhere = BoundGaussians(
        torch.arange(count), torch.full((count, 3), 1 / 3), torch.zeros(count, 3), torch.zeros(count, 4),
        torch.ones(count, 3), torch.ones(count), torch.zeros(count, 3), torch.zeros(count, dtype=torch.uint8),
    )  # fmt: skip
    found = reach(everywhere, head)[:, 0]
    for region, room in (
        ("teeth", "inner"),
        ("tongue", "inner"),
        ("eyes", "inner"),
        ("lips", "face"),
        ("scalp", "hair"),
    ):
        assert (found[torch.from_numpy(head.face_region(region))] == REACH[room]).all(), region
    everywhere.parts.fill_(PARTS.index("hair"))
    assert (reach(everywhere, head) == REACH["beyond"]).all()


def test_small_offsets_stay_and_large_ones_end_at_the_bound():
    room = torch.tensor([[0.001], [0.02]])
    small, large = torch.full((2, 3), 2e-5), torch.tensor([[0.05, -0.05, 0], [0.5, 0, -0.5]])
    torch.testing.assert_close(bounded(small, room), small, rtol=1e-3, atol=0)
    torch.testing.assert_close(bounded(large, room), torch.sign(large) * room, rtol=1e-3, atol=0)
