"""Synthetic people kept on disk, so that many epochs and many networks share one rendering."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from engine.atomic import atomic_write, make_folder
from engine.synthetic.dataset import SyntheticHeads
from engine.synthetic.samples import SyntheticSample

UNREADABLE = (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error)
"""What numpy and zipfile raise at an archive that is not there or damaged: a wrong byte can ask for a password."""
NOTHING = np.iinfo(np.uint16).max  # stands for triangle -1


@dataclass(frozen=True)
class ShelvedSample:
    """What training needs of a :class:`SyntheticSample`, in few bytes. N views of S × S.

    Attributes:
        seed: the identity.
        rgb: [N, S, S, 3] uint8 sRGB over ``background``. alpha: [N, S, S] uint8. background: [3] float32.
        triangle: [N, S, S] uint16 of the head's faces under the pixel's centre, be it behind hair; 65535 for none.
        barycentric: [N, S, S, 3] uint8, in 255ths.
        neutral: [V, 3] float32. joints: [J, 3] float32, metres.
        expression: [N, E] float64. joint_rotations: [N, J, 3] float64. viewmats: [N, 4, 4]. Ks: [N, 3, 3] pixels.
    """

    seed: int
    rgb: np.ndarray
    alpha: np.ndarray
    background: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    neutral: np.ndarray
    joints: np.ndarray
    expression: np.ndarray
    joint_rotations: np.ndarray
    viewmats: np.ndarray
    Ks: np.ndarray

    @classmethod
    def of(cls, sample: SyntheticSample) -> ShelvedSample:
        """The same views, rounded to bytes."""
        kept = {field.name: getattr(sample, field.name) for field in fields(cls)}
        for name in ("rgb", "alpha", "barycentric"):
            kept[name] = np.round(255 * kept[name].clip(0, 1)).astype(np.uint8)
        kept["triangle"] = np.where(sample.triangle < 0, NOTHING, sample.triangle).astype(np.uint16)
        return cls(**kept)

    def shrunk(self, size: int) -> ShelvedSample:
        """The same views at ``size`` pixels per side, a divisor of S: means of colours, the first pixel's triangle."""
        step = self.rgb.shape[1] // size
        if step == 1:
            return self
        means = {name: _means(getattr(self, name), step) for name in ("rgb", "alpha")}
        firsts = {name: getattr(self, name)[:, ::step, ::step] for name in ("triangle", "barycentric")}
        return replace(self, **means, **firsts, Ks=self.Ks / [[step], [step], [1]])


def _means(bytes_: np.ndarray, step: int) -> np.ndarray:
    count, size = bytes_.shape[0], bytes_.shape[1] // step
    blocks = bytes_.reshape(count, size, step, size, step, *bytes_.shape[3:])
    return blocks.mean(axis=(2, 4), dtype=np.float32).round().astype(np.uint8)


STORED = tuple(field.name for field in fields(ShelvedSample) if field.name != "seed")


class Shelf(Dataset[ShelvedSample]):
    """The first people of ``heads``, over and over; each is rendered when first asked for and read from ``folder`` ever
    after.

    Args:
        folder: belongs to one kind of views; its name should say which. people: how many of them.
    """

    def __init__(self, heads: SyntheticHeads, folder: Path, people: int):
        self.heads, self.folder, self.people = heads, folder, people
        make_folder(folder)

    def __getitem__(self, index: int) -> ShelvedSample:
        index %= self.people
        seed = self.heads.first + index
        path = self.folder / f"{seed}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return ShelvedSample(seed=seed, **{name: arrays[name] for name in STORED})
        except UNREADABLE:
            pass  # not there, or damaged: rendering is the way out of both
        sample = ShelvedSample.of(self.heads[index])
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **{name: getattr(sample, name) for name in STORED})
        return sample
