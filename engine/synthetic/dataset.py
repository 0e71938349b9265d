"""An endless, resumable stream of synthetic heads for training."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from engine.synthetic.samples import HELD_OUT, SyntheticSample, sample


class SyntheticHeads(Dataset[SyntheticSample]):
    """Item ``i`` is person ``first + i``; nothing else decides what it looks like.

    Args:
        views, size: of every sample, see :func:`engine.synthetic.sample`.
        same_expression: whether a sample's views show one instant; None alternates: even items do, odd ones do not.
        first: seed of item 0; the default leaves out the people held out for tests.
    """

    def __init__(self, views: int, size: int, same_expression: bool | None = None, first: int = HELD_OUT.stop):
        self.views, self.size, self.same_expression, self.first = views, size, same_expression, first

    def __getitem__(self, index: int) -> SyntheticSample:
        same = index % 2 == 0 if self.same_expression is None else self.same_expression
        return sample(self.first + index, self.views, self.size, same)


class Onward(Sampler[int]):
    """Indices ``start``, ``start + stride``, … without end: what one of ``stride`` machines draws, from a step on."""

    def __init__(self, start: int = 0, stride: int = 1):
        self.start, self.stride = start, stride

    def __iter__(self) -> Iterator[int]:
        index = self.start
        while True:
            yield index
            index += self.stride


def stream(heads: Dataset, batch: int, start: int = 0, workers: int = 2, rank: int = 0, world: int = 1) -> DataLoader:
    """Lists of ``batch`` samples, in order, whatever the number of workers.

    Args:
        start: batches that were taken before; a resumed training passes its step and goes on with the next people.
        workers: processes that render ahead; 0 renders in this one.
        rank, world: this process and their number in distributed training; each gets people of its own.
    """
    order = Onward(start * batch * world + rank, world)
    return DataLoader(
        heads,
        batch_size=batch,
        sampler=order,
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=_alone,
        # forking after numba's or OpenMP's threads have run ends in a deadlock or an abort
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=workers > 0,
    )


def _alone(worker: int) -> None:
    """One thread per worker: they are the parallelism."""
    numba.set_num_threads(1)
    torch.set_num_threads(1)
