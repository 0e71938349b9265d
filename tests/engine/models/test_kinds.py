"""Skin or hair, by colour: light hair is like shaded skin, and a shaved head is like a face."""

import numpy as np

from engine.models.surface.kinds import kinds

SKIN, BLOND, DARK = np.array([0.86, 0.66, 0.55]), np.array([0.62, 0.5, 0.33]), np.array([0.12, 0.09, 0.08])
FACE = 4000


def seen(hair, rng):
    """Colours of a face and of a scalp whose lower third is forehead, in uneven light; their heights; masks."""
    light = rng.uniform(0.6, 1.1, (2 * FACE, 1))
    colors = np.concatenate([np.tile(SKIN, (FACE, 1)), np.tile(hair, (FACE, 1))]) * light
    height = np.concatenate([np.zeros(FACE), np.linspace(0.05, 0.15, FACE)])
    scalp = np.arange(2 * FACE) >= FACE
    forehead = scalp & (height < 0.08)
    colors[forehead] = SKIN * light[forehead]
    return (colors + rng.normal(0, 0.015, colors.shape)).clip(0, 1), height, scalp, forehead


def test_light_and_dark_hair_are_told_from_skin():
    for hair in (BLOND, DARK):
        colors, height, scalp, forehead = seen(hair, np.random.default_rng(0))
        bare, haired = kinds(colors, height, ~scalp, scalp, np.ones(len(scalp), bool))
        assert haired[scalp & ~forehead].mean() > 0.9 and bare[scalp & ~forehead].mean() < 0.1
        assert haired[forehead].mean() < 0.1


def test_a_shaved_head_is_skin_all_over_even_where_it_shines():
    rng = np.random.default_rng(0)
    colors, height, scalp, _ = seen(SKIN * 1.05, rng)
    bare, haired = kinds(colors, height, ~scalp, scalp, np.ones(len(scalp), bool))
    assert not haired.any() and bare.mean() > 0.9


def test_too_little_to_learn_from_is_skin():
    colors, height, scalp, _ = seen(DARK, np.random.default_rng(0))
    bare, haired = kinds(colors, height, ~scalp, scalp, np.zeros(len(scalp), bool))
    assert not haired.any()
    bare, haired = kinds(colors, height, np.zeros(len(scalp), bool), scalp, scalp)
    assert (bare == 1).all() and not haired.any()
