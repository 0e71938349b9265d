"""Rebalancing: anchors are expressions that people show, and rare ones come more often than by themselves."""

from __future__ import annotations

import pickle
from functools import lru_cache

import numpy as np
import pytest

from engine.synthetic.rebalancing import ANCHORS, FAINT, RETRIEVED, Anchors, Chosen, find_anchors
from engine.synthetic.samples import HELD_OUT, instant

PEOPLE, VIEWS = 300, 8


@lru_cache(maxsize=1)
def shown() -> np.ndarray:
    """[P, V, E] what the training's first people show; every other one shows one expression only."""
    return np.stack(
        [
            [instant(HELD_OUT.stop + person, view, person % 2 == 0)[0] for view in range(VIEWS)]
            for person in range(PEOPLE)
        ]
    )


@pytest.fixture(scope="module")
def anchors() -> Anchors:
    return find_anchors(PEOPLE, VIEWS)


def resembled(anchors: Anchors, expression: np.ndarray) -> int:
    """The anchor at the smallest angle; ANCHORS at rest."""
    length = np.sqrt((expression**2).sum())
    if length < FAINT:
        return ANCHORS
    angles = [np.arccos(min(1.0, (each * expression).sum() / length)) for each in anchors.directions]
    return int(np.argmin(angles))


@pytest.mark.slow
def test_anchors_are_different_expressions_that_people_show(anchors):
    everything = shown().reshape(PEOPLE * VIEWS, -1)
    assert anchors.directions.shape == (ANCHORS, everything.shape[1]) and ANCHORS == 20
    lengths = np.linalg.norm(everything, axis=1)
    for direction in anchors.directions:
        assert abs(np.linalg.norm(direction) - 1) < 1e-9
        apart = np.linalg.norm(everything / lengths[:, None] - direction, axis=1)
        assert apart.min() < 1e-9 and lengths[apart.argmin()] >= FAINT
    cosines = anchors.directions @ anchors.directions.T - 2 * np.eye(ANCHORS)
    random = np.random.default_rng(0).choice(everything[lengths >= FAINT], ANCHORS, replace=False)
    random /= np.linalg.norm(random, axis=1)[:, None]
    assert cosines.max() < (random @ random.T - 2 * np.eye(ANCHORS)).max() - 0.1


@pytest.mark.slow
def test_shares_count_the_views_by_their_nearest_anchor(anchors):
    everything = shown().reshape(PEOPLE * VIEWS, -1)
    counted = [resembled(anchors, each) for each in everything]
    shares = np.bincount(counted, minlength=ANCHORS + 1) / len(counted)
    np.testing.assert_allclose(anchors.shares, shares[:-1], atol=1e-12)
    assert np.array_equal(anchors.nearest(everything), np.where(np.array(counted) == ANCHORS, -1, counted))
    frequent = [which == ANCHORS or shares[which] >= 1 / 21 for which in counted]
    assert np.array_equal(anchors.common(everything), frequent) and 0.3 < np.mean(frequent) < 1


def test_the_order_names_who_shows_each_anchor_best(anchors):
    assert anchors.order.shape == (ANCHORS * RETRIEVED,)
    for which in range(ANCHORS):
        of_person = []
        for views in shown():
            lengths = [max(float(np.linalg.norm(each)), FAINT) for each in views]
            of_person.append(max(each @ anchors.directions[which] / n for each, n in zip(views, lengths, strict=True)))
        mine = anchors.order[which::ANCHORS]
        assert len(set(mine)) == RETRIEVED
        found = [of_person[person] for person in mine]
        np.testing.assert_allclose(found, sorted(of_person, reverse=True)[:RETRIEVED], atol=1e-12)
    few = find_anchors(12, VIEWS)  # fewer people than are retrieved: all of them
    assert all(set(few.order[which::ANCHORS]) == set(range(12)) for which in range(ANCHORS))


def test_weights_make_up_for_rarity(anchors):
    rare, common = int(anchors.shares.argmin()), int(anchors.shares.argmax())
    rest = np.zeros(anchors.directions.shape[1])
    weights = anchors.weights(np.stack([anchors.directions[rare], anchors.directions[common], rest]))
    assert abs(weights.sum() - 1) < 1e-12
    shares = np.array([anchors.shares[rare], anchors.shares[common], 1 - anchors.shares.sum()])
    np.testing.assert_allclose(weights / weights[1], shares[1] / shares, rtol=1e-9)
    assert weights[0] > 5 * weights[1]


def test_rebalanced_targets_are_spread_more_evenly(anchors):
    """Over the anchors, rest left out: what a training draws, against people in turn and targets by chance."""
    rng = np.random.default_rng(1)

    def spread(order: np.ndarray, weighted: bool) -> np.ndarray:
        counts = np.zeros(ANCHORS + 1)
        for person in order:
            expressions = shown()[person]
            chances = anchors.weights(expressions) if weighted else None
            counts[resembled(anchors, expressions[rng.choice(VIEWS, p=chances)])] += 1
        return np.sort(counts[:-1] / counts[:-1].sum())

    def entropy(shares: np.ndarray) -> float:
        return -float(sum(share * np.log(share) for share in shares if share > 0))

    plain, people = spread(np.arange(1200) % PEOPLE, False), spread(anchors.order, False)
    both = spread(anchors.order, True)
    assert entropy(plain) + 0.1 < entropy(people) < entropy(both) - 0.05 and entropy(both) > 0.93 * np.log(ANCHORS)
    assert both[0] > 1.5 * plain[0] and both[-1] < 0.6 * plain[-1]


def test_chosen_goes_round_and_travels_to_a_worker():
    chosen = Chosen(list("abcdefgh"), np.array([5, 0, 5, 2]))  # type: ignore[arg-type]
    for one in (chosen, pickle.loads(pickle.dumps(chosen))):
        assert "".join(one[index] for index in range(10)) == "fafcfafcfa" and one[4 * 10**6 + 3] == "c"
