"""Painted heads on the shelf: the same as fresh ones within rounding, made anew when damaged, one for every subset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.models.learned.posed_images import PaintedTexture
from engine.training import painted_textures
from engine.training.painted_textures import COUNTS, painted_texture, sources
from tests.engine.systems.people import SEED, captured, head, shelved


@pytest.fixture
def painted(monkeypatch) -> list[int]:
    """Counts paintings; they take no time, since the first painted head is given again."""
    calls: list[int] = []
    first = captured(1).texture

    def again(photos, *rest):
        calls.append(len(photos))
        return None

    monkeypatch.setattr(painted_textures, "paint", again)
    monkeypatch.setattr(painted_textures, "put_on", lambda painted: first)
    return calls


def near(one: PaintedTexture, other: PaintedTexture) -> None:
    assert torch.equal(one.neutral, other.neutral)
    for name in ("colors", "seen", "presence"):
        stored, fresh = getattr(one, name), getattr(other, name)
        assert stored.dtype == torch.float32
        assert (stored - fresh).abs().max() <= 0.5 / 255 + 1e-6, name


@pytest.mark.slow
def test_a_kept_coat_is_the_fresh_one_within_rounding(painted, tmp_path):
    folder = tmp_path / "new" / "coats"
    taken: list[PaintedTexture] = []
    for _ in range(3):
        taken.append(painted_texture(shelved(), [0], head(), folder))
        near(taken[-1], captured(1).texture)
    assert painted == [1]
    assert all(torch.equal(getattr(taken[0], name), getattr(taken[1], name)) for name in vars(taken[0]))
    painted_texture(shelved(), [0, 1], head(), folder)  # another subset is another texture
    painted_texture(replace(shelved(), seed=SEED + 1), [0], head(), folder)  # and so is another person
    assert painted == [1, 2, 1]
    painted_texture(shelved(), [0], head(), None)
    assert painted == [1, 2, 1, 1]
    assert {path.name for path in folder.iterdir()} == {f"{SEED}-1.npz", f"{SEED}-2.npz", f"{SEED + 1}-1.npz"}


@pytest.mark.slow
def test_white_that_is_too_bright_stays_white(painted, monkeypatch, tmp_path):
    """Eyes that no photo shows are painted beyond 1 on bright faces; as bytes that would be black."""
    bright = replace(captured(1).texture, colors=torch.full_like(captured(1).texture.colors, 1.056))
    monkeypatch.setattr(painted_textures, "put_on", lambda painted: bright)
    assert all(
        (painted_texture(shelved(), [0], head(), folder).colors == 1).all() for folder in (tmp_path, tmp_path, None)
    )


def without_seen(path: Path) -> None:
    with np.load(path) as stored:
        arrays = {name: array for name, array in stored.items() if name != "seen"}
    np.savez(path, **arrays)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes()[:2000]),
        lambda path: path.write_bytes(b"no archive at all"),
        without_seen,
    ],
)
def test_a_damaged_coat_is_painted_anew(painted, tmp_path, damage):
    painted_texture(shelved(), [0], head(), tmp_path)
    path = tmp_path / f"{SEED}-1.npz"
    whole = path.read_bytes()
    damage(path)
    assert path.read_bytes() != whole
    near(painted_texture(shelved(), [0], head(), tmp_path), captured(1).texture)
    assert painted == [1, 1]
    near(painted_texture(shelved(), [0], head(), tmp_path), captured(1).texture)
    assert painted == [1, 1] and len(list(tmp_path.iterdir())) == 1


def test_every_person_has_one_order_of_photos_and_most_begin_in_front():
    order = sources(shelved())
    assert np.array_equal(order, sources(shelved()))
    assert sorted(order) == list(range(len(shelved().rgb)))
    firsts = [sources(replace(shelved(), seed=seed))[0] for seed in range(1000)]
    assert 0.6 < np.mean([first == 0 for first in firsts]) < 0.72  # 0.6, and a sixth of the rest
    assert set(firsts) == set(range(len(order)))
    assert max(COUNTS) < len(order)
