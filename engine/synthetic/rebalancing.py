"""Rare expressions as often as common ones: the rebalancing of FlexAvatar's training (arXiv 2512.17717)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch.utils.data import Dataset

from engine.synthetic.samples import HELD_OUT, instant
from engine.synthetic.shelf import ShelvedSample

ANCHORS = 20  # as in the paper
RETRIEVED = 60  # views per anchor (ours)
FAINT = 0.5  # length of the weights under which an expression is as good as none (ours)


@dataclass(frozen=True)
class Anchors:
    """Expressions that are as different from each other as the acting goes (ours: the paper does not say which).

    Attributes:
        directions: [A, E] weights of unit length.
        shares: [A] of all views, those that are nearest to each anchor; the rest is at rest.
        order: [A · RETRIEVED] people (indices), anchor after anchor in turn, who show each one best.
    """

    directions: np.ndarray
    shares: np.ndarray
    order: np.ndarray

    def nearest(self, expressions: np.ndarray) -> np.ndarray:
        """[N] the anchor that each of the weights [N, E] resembles most, by cosine; -1 at rest."""
        units, present = _units(expressions)
        return np.where(present, (units @ self.directions.T).argmax(1), -1)

    def common(self, expressions: np.ndarray) -> np.ndarray:
        """[N] bool: whether people show such an expression at least as often as if all anchors, and rest, were even."""
        nearest = self.nearest(expressions)
        return (nearest < 0) | (self.shares[nearest] >= 1 / (ANCHORS + 1))

    def weights(self, expressions: np.ndarray) -> np.ndarray:
        """[N] chances, which sum to 1, that make up for how rare each of the weights [N, E] is."""
        shares = np.append(self.shares, 1 - self.shares.sum())
        weights = 1 / np.maximum(shares[self.nearest(expressions)], 1e-3)
        return weights / weights.sum()


@lru_cache(maxsize=2)
def find_anchors(people: int, views: int) -> Anchors:
    """Anchors of the first people that trainings see.

    Args:
        views: of each, at expressions that alternate from person to person as in
            :class:`engine.synthetic.SyntheticHeads`.
    """
    expressions = np.stack(
        [
            [instant(HELD_OUT.stop + person, view, same_expression=person % 2 == 0)[0] for view in range(views)]
            for person in range(people)
        ]
    )
    units, present = _units(expressions.reshape(people * views, -1))
    chosen = [int(np.linalg.norm(expressions.reshape(len(units), -1), axis=1).argmax())]
    closest = np.where(present, units @ units[chosen[0]], np.inf)
    while len(chosen) < ANCHORS:  # the farthest from all that are chosen
        chosen.append(int(closest.argmin()))
        closest = np.maximum(closest, np.where(present, units @ units[chosen[-1]], np.inf))
    similarity = units @ units[chosen].T  # [P · V, A]
    nearest = similarity.argmax(1)
    shares = np.array([(present & (nearest == anchor)).mean() for anchor in range(ANCHORS)])
    of_person = similarity.reshape(people, views, ANCHORS).max(1)
    best = np.argsort(-of_person, axis=0)[: min(RETRIEVED, people)]  # [RETRIEVED, A]
    return Anchors(units[chosen], shares, best.ravel())


def _units(expressions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.linalg.norm(expressions, axis=1)
    return expressions / np.maximum(lengths, FAINT)[:, None], lengths >= FAINT


class Chosen(Dataset[ShelvedSample]):
    """Some items of a dataset in another order, over and over.

    Args:
        order: [N] indices into ``people``.
    """

    def __init__(self, people: Dataset, order: np.ndarray):
        self.people, self.order = people, order

    def __getitem__(self, index: int) -> ShelvedSample:
        return self.people[int(self.order[index % len(self.order)])]
