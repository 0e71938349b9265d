"""Which people and views a training sees, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from engine.models.spec import Data, changed
from engine.synthetic import SyntheticHeads, stream
from engine.synthetic.rebalancing import Anchors, Chosen, find_anchors
from engine.synthetic.shelf import Shelf, ShelvedSample
from engine.systems import network

VIEWS = 8
"""Views of every training sample, sources and targets."""
PHOTO_SIZE = 256
"""px per side of the views as rendered; a system's own photos are shrunk to what it takes."""
ON_SHELF = 700
"""People that a folder of samples holds, and a training with one sees again and again."""
POOL = 4000  # people among whom a rebalanced training without such a folder looks for expressions
ENDLESS = 2**20  # people, for the other choices
APART = 97  # steps between the starts of runs with different seeds, so that they do not render the same people at once


class People:
    """A training's people and its targets.

    Args:
        system: one of the learned systems. choices: fields of :class:`Data` to change, as text.
        samples: folder of rendered samples; None: they are rendered while training.

    Raises:
        EngineError: there is no such choice.
    """

    def __init__(self, system: str, choices: Mapping[str, str], samples: Path | None):
        self.data: Data = changed(network(system).data, choices, "the data")
        heads = SyntheticHeads(VIEWS, PHOTO_SIZE)
        self.people: Dataset = heads if samples is None else Shelf(heads, samples, ON_SHELF)
        self.anchors: Anchors | None = None
        if self.data.rebalanced:
            self.anchors = find_anchors(POOL if samples is None else ON_SHELF, VIEWS)
            self.people = Chosen(self.people, self.anchors.order)
        elif self.data.timesteps != "mixed":
            self.people = Chosen(self.people, np.arange(self.data.timesteps == "random", ENDLESS, 2))

    def batches(self, size: int, seed: int, start: int, workers: int, rank: int, world: int) -> Iterator[list]:
        """Endless batches of ``size`` from step ``start`` on; every process of ``world`` gets people of its own."""
        for batch in stream(self.people, size, start + APART * seed, workers, rank, world):
            yield [one if isinstance(one, ShelvedSample) else ShelvedSample.of(one) for one in batch]

    def targets(self, sample: ShelvedSample, others: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """[count] of a sample's views that are not among the photos, to compare with."""
        chances = None if self.anchors is None else self.anchors.weights(sample.expression[others])
        return rng.choice(others, count, replace=False, p=chances)
