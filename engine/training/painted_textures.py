"""The painted heads that trainings start from, kept on disk beside the samples: painting takes as long as a step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from engine.atomic import atomic_write, make_folder
from engine.heads.parametric import ParametricHead
from engine.heads.rig import make_rig
from engine.models.learned.posed_images import PAINTED, PaintedTexture, put_on
from engine.models.surface import paint
from engine.synthetic.portraits import portrait, true_tracking
from engine.synthetic.shelf import UNREADABLE, ShelvedSample

COUNTS = (1, 2, 4)
"""Photos of a capture in training: three subsets per person, each the beginning of the next."""
SHARES = ("colors", "seen", "presence")  # fields of a texture that lie in 0..1, in their order
FRONTAL = 0.6  # share of people whose first photo is the sample's first view, which is near the front


def sources(sample: ShelvedSample) -> np.ndarray:
    """All views of a sample in the order in which they become source photos, the same at every call."""
    rng = np.random.default_rng([sample.seed, len(sample.rgb)])
    order = rng.permutation(len(sample.rgb))
    if rng.uniform() < FRONTAL:
        order = np.concatenate(([0], order[order != 0]))
    return order


def painted_texture(
    sample: ShelvedSample, views: Sequence[int] | np.ndarray, head: ParametricHead, folder: Path | None
) -> PaintedTexture:
    """The head painted with some views, in 255ths; read from ``folder`` where it was done before."""
    path = None if folder is None else folder / f"{sample.seed}-{len(views)}.npz"
    if path is not None:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return _from_bytes({name: arrays[name] for name in ("neutral", *SHARES)})
        except UNREADABLE:
            pass  # not there, or damaged: painting is the way out of both
    tracked = true_tracking(sample, list(views))
    bald = make_rig(head, sample.neutral, sample.joints)
    done = put_on(paint([portrait(sample, view) for view in views], tracked.views, head, bald, PAINTED))
    small = {name: (255 * getattr(done, name).clamp(0, 1)).round().byte().numpy() for name in SHARES}
    small["neutral"] = done.neutral.numpy()
    if path is not None:
        make_folder(path.parent)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **small)
    return _from_bytes(small)  # the same now as when it is read, so that a training that goes on repeats itself


def _from_bytes(small: dict[str, np.ndarray]) -> PaintedTexture:
    tensors = {name: torch.from_numpy(array) for name, array in small.items()}
    return PaintedTexture(tensors["neutral"], *(tensors[name].float() / 255 for name in SHARES))
