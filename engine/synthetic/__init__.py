"""Synthetic heads: endless random people of the default head model, rendered with exact ground truth.

    one = sample(seed=1000, views=4, size=256, same_expression=False)
    for batch in stream(SyntheticHeads(views=4, size=256), batch=2, start=0): ...

The split is by seed: people 0 to 999 (:data:`HELD_OUT`) are for tests, training takes those from 1000 on.
"""

from engine.synthetic.dataset import SyntheticHeads, stream
from engine.synthetic.samples import HELD_OUT, SyntheticSample, act, sample

__all__ = ["HELD_OUT", "SyntheticHeads", "SyntheticSample", "act", "sample", "stream"]
