"""Which people and views the papers' choices lead to; nothing is rendered."""

from __future__ import annotations

from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import EngineError
from engine.synthetic import HELD_OUT, SyntheticHeads
from engine.synthetic.samples import instant
from engine.synthetic.shelf import ShelvedSample
from engine.training.data import APART, ON_SHELF, VIEWS, People

STEPS, BATCH = 12, 3


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """The indices that somebody wanted rendered."""
    indices: list[int] = []

    def sample(heads: SyntheticHeads, index: int) -> SimpleNamespace:
        indices.append(index)
        return SimpleNamespace(seed=heads.first + index)

    monkeypatch.setattr(SyntheticHeads, "__getitem__", sample)
    monkeypatch.setattr(ShelvedSample, "of", staticmethod(lambda one: one))
    return indices


def seen(people: People, asked: list[int], seed: int = 0, start: int = 0, rank: int = 0, world: int = 1) -> list[int]:
    asked.clear()
    batches = list(islice(people.batches(BATCH, seed, start, 0, rank, world), STEPS))
    found = [one.seed - HELD_OUT.stop for batch in batches for one in batch]
    assert [len(batch) for batch in batches] == [BATCH] * STEPS and asked[: len(found)] == found
    return found


@pytest.mark.parametrize(
    ("system", "choices", "first", "step"),
    [
        ("avat3r", {}, 1, 2),
        ("avat3r", {"timesteps": "same"}, 0, 2),
        ("avat3r", {"timesteps": "mixed"}, 0, 1),
        ("match", {}, 0, 1),
        ("uika", {"timesteps": "random"}, 1, 2),
        ("flexavatar", {"rebalanced": "false"}, 0, 1),
    ],
)
def test_who_shows_one_timestep_and_who_many(system, choices, first, step, asked):
    """Odd people's views differ in expression, even ones' do not."""
    people = People(system, choices, None)
    found = seen(people, asked)
    assert found == list(range(first, first + step * STEPS * BATCH, step))
    later = seen(people, asked, seed=2, start=5)
    skipped = step * BATCH * (2 * APART + 5)
    assert later == [index + skipped for index in found]
    ranks = [seen(people, asked, rank=rank, world=2) for rank in range(2)]
    assert sorted(ranks[0] + ranks[1]) == list(range(first, first + 2 * step * STEPS * BATCH, step))
    rng = np.random.default_rng(0)
    sample = SimpleNamespace(expression=np.zeros((VIEWS, 52)))
    drawn = [people.targets(sample, np.array([1, 4, 7]), 2, rng) for _ in range(600)]  # type: ignore[arg-type]
    assert all(len(set(pair)) == 2 for pair in drawn)
    np.testing.assert_allclose(np.bincount(np.concatenate(drawn), minlength=8)[[1, 4, 7]] / 1200, 1 / 3, atol=0.05)


@pytest.mark.slow
def test_a_rebalanced_training_sees_the_retrieved_people_and_rare_views(asked, tmp_path):
    people = People("flexavatar", {}, tmp_path)
    anchors = people.anchors
    assert anchors is not None and anchors.order.max() < ON_SHELF
    people.people.people = people.people.people.heads  # type: ignore[attr-defined]  # nothing goes on the shelf
    assert seen(people, asked) == list(anchors.order[: STEPS * BATCH])
    # a person with a rare expression among common ones
    for person in range(1, ON_SHELF, 2):
        shown = np.stack([instant(HELD_OUT.stop + person, view, False)[0] for view in range(VIEWS)])
        common = anchors.common(shown)
        if not common[6] and common[[0, 1, 2, 3, 4, 5]].all():
            break
    else:
        pytest.fail("nobody")
    others, rng = np.arange(2, VIEWS), np.random.default_rng(1)
    sample = SimpleNamespace(expression=shown)
    drawn = [int(people.targets(sample, others, 1, rng)[0]) for _ in range(2000)]  # type: ignore[arg-type]
    shares = np.append(anchors.shares, 1 - anchors.shares.sum())
    odds = np.array([1 / shares[anchors.nearest(shown[view][None])[0]] for view in others])
    counts = np.bincount(drawn, minlength=VIEWS)
    assert counts[:2].sum() == 0  # the photos
    np.testing.assert_allclose(counts[2:] / 2000, odds / odds.sum(), atol=0.05)


@pytest.mark.parametrize(
    ("choices", "named"),
    [({"weather": "fine"}, "weather"), ({"timesteps": "often"}, "often"), ({"rebalanced": "perhaps"}, "perhaps")],
)
def test_unknown_choices_are_refused_by_name(choices, named):
    with pytest.raises(EngineError, match=named):
        People("avat3r", choices, None)


def test_rebalanced_people_are_not_of_chosen_timesteps_too():
    with pytest.raises(EngineError, match="one of the two"):
        People("avat3r", {"rebalanced": "true"}, None)
