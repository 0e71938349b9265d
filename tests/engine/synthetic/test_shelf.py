"""The shelf gives what rendering gives, renders anew what is damaged, and goes round."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from engine.synthetic import SyntheticHeads, SyntheticSample
from engine.synthetic.shelf import NOTHING, Shelf, ShelvedSample

VIEWS, SIZE = 2, 64


class Counted(SyntheticHeads):
    """Renders each person once for all tests, and counts how often somebody asks."""

    made: dict[int, SyntheticSample] = {}

    def __init__(self):
        super().__init__(VIEWS, SIZE)
        self.asked: list[int] = []

    def __getitem__(self, index: int) -> SyntheticSample:
        self.asked.append(index)
        if index not in self.made:
            self.made[index] = super().__getitem__(index)
        return self.made[index]


def same(one: ShelvedSample, other: ShelvedSample) -> bool:
    pairs = ((getattr(one, field.name), getattr(other, field.name)) for field in fields(ShelvedSample))
    return all(np.array_equal(a, b) and np.asarray(a).dtype == np.asarray(b).dtype for a, b in pairs)


@pytest.fixture
def heads() -> Counted:
    return Counted()


def test_shelved_is_fresh_within_rounding(heads, tmp_path):
    shelf = Shelf(heads, tmp_path / "new" / "folder", 2)
    first, again = shelf[1], shelf[1]
    assert same(first, again) and heads.asked == [1]
    fresh = SyntheticHeads(VIEWS, SIZE)[1]
    assert again.seed == fresh.seed == 1001
    for name in ("rgb", "alpha", "barycentric"):
        stored = getattr(again, name)
        assert stored.dtype == np.uint8
        # a byte's half step, but colours a little beyond white are cut
        assert np.abs(stored / 255 - getattr(fresh, name).clip(0, 1)).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(again.triangle == NOTHING, ~fresh.covered)
    assert np.array_equal(again.triangle[fresh.covered], fresh.triangle[fresh.covered])
    for name in ("background", "neutral", "joints", "expression", "joint_rotations", "viewmats", "Ks"):
        assert np.array_equal(getattr(again, name), getattr(fresh, name))


def test_the_shelf_goes_round(heads, tmp_path):
    shelf = Shelf(heads, tmp_path, 2)
    seeds = [shelf[index].seed for index in (0, 1, 2, 3, 4, 1001)]
    assert seeds == [1000, 1001, 1000, 1001, 1000, 1001]
    assert heads.asked == [0, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1000.npz", "1001.npz"]


def test_shrunk_views_are_means_seen_by_smaller_cameras(heads):
    rng, size = np.random.default_rng(3), 256
    full = ShelvedSample.of(heads[0])
    full = replace(
        full,
        rgb=rng.integers(0, 256, (VIEWS, size, size, 3), dtype=np.uint8),
        alpha=rng.integers(0, 256, (VIEWS, size, size), dtype=np.uint8),
        triangle=rng.integers(0, 2**16, (VIEWS, size, size), dtype=np.uint16),
        barycentric=rng.integers(0, 256, (VIEWS, size, size, 3), dtype=np.uint8),
    )
    assert same(full.shrunk(size), full)
    small = full.shrunk(size // 2)
    for name in ("rgb", "alpha"):
        before, after = getattr(full, name).astype(float), getattr(small, name)
        mean = sum(before[:, y::2, x::2] for y in (0, 1) for x in (0, 1)) / 4
        assert after.dtype == np.uint8 and after.shape == mean.shape and np.abs(after - mean).max() <= 0.5
    # a pixel's triangle and its place in it belong together, and to one of the pixels that it stands for
    for y, x in rng.integers(0, size // 2, (200, 2)):
        block = [(2 * y + dy, 2 * x + dx) for dy in (0, 1) for dx in (0, 1)]
        assert any(
            full.triangle[1, r, c] == small.triangle[1, y, x]
            and np.array_equal(full.barycentric[1, r, c], small.barycentric[1, y, x])
            for r, c in block
        )
    for K, half in zip(full.Ks, small.Ks, strict=True):
        point = K @ [0.1, -0.2, 0.9]
        halved = half @ [0.1, -0.2, 0.9]
        np.testing.assert_allclose(halved[:2] / halved[2], point[:2] / point[2] / 2, rtol=1e-12)
    for name in ("seed", "background", "neutral", "joints", "expression", "joint_rotations", "viewmats"):
        assert np.array_equal(getattr(small, name), getattr(full, name))


def rewritten(**changes: np.ndarray | None):
    def damage(path: Path) -> None:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files} | changes
        with path.open("wb") as file:
            np.savez(file, **{name: array for name, array in arrays.items() if array is not None})

    return damage


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04"),
        lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        flipped,
        rewritten(alpha=None),
        rewritten(rgb=np.array([{"an": "object"}], dtype=object)),
    ],
)
def test_a_damaged_file_is_made_anew(heads, tmp_path, damage):
    shelf = Shelf(heads, tmp_path, 2)
    good = shelf[0]
    path = tmp_path / "1000.npz"
    damage(path)
    assert same(shelf[0], good) and heads.asked == [0, 0]
    assert same(shelf[0], good) and heads.asked == [0, 0]  # and it is on the shelf again
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_no_single_wrong_byte_stops_a_training(heads, tmp_path):
    """Wherever a byte of the archive's own structure is wrong, what comes back is the sample."""
    shelf = Shelf(heads, tmp_path, 2)
    good, path = shelf[0], tmp_path / "1000.npz"
    whole = path.read_bytes()
    directory = whole.rindex(b"PK\x01\x02", 0, whole.index(b"PK\x01\x02") + 4)
    rng = np.random.default_rng(1)
    places = [*range(40), *rng.integers(directory, len(whole), 60)]
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        assert same(shelf[0], good), place
