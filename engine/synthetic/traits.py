"""What a random person is like: skin, age, eyes, hair, clothes, all that is not the mesh's shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# sRGB. Skin from the lightest to the darkest; hair, irises and clothes by name.
SKIN_TONES = (
    (0.95, 0.82, 0.75), (0.90, 0.73, 0.63), (0.83, 0.64, 0.51), (0.72, 0.52, 0.39), (0.56, 0.38, 0.27),
    (0.40, 0.26, 0.19), (0.27, 0.17, 0.13),
)  # fmt: skip
HAIR_COLOURS = {
    "black": (0.075, 0.065, 0.065), "dark brown": (0.17, 0.11, 0.08), "brown": (0.29, 0.19, 0.12),
    "chestnut": (0.36, 0.19, 0.11), "light brown": (0.45, 0.32, 0.20), "blond": (0.72, 0.57, 0.36),
    "platinum": (0.87, 0.79, 0.62), "red": (0.58, 0.26, 0.11), "grey": (0.52, 0.52, 0.53), "white": (0.84, 0.83, 0.81),
    "dyed": (0.0, 0.0, 0.0),
}  # fmt: skip
HAIR_ODDS = {  # for light, middle and dark skin, in the order above; grey and white come with age
    "light": (4, 10, 14, 8, 14, 14, 5, 6, 0, 0, 2),
    "middle": (26, 24, 12, 6, 4, 2, 1, 1, 0, 0, 1.5),
    "dark": (40, 14, 3, 1, 0, 1, 1, 0.3, 0, 0, 1.5),
}
IRISES = ((0.24, 0.14, 0.07), (0.36, 0.22, 0.10), (0.45, 0.36, 0.16), (0.33, 0.40, 0.24), (0.32, 0.47, 0.58),
          (0.46, 0.53, 0.57), (0.14, 0.085, 0.05))  # fmt: skip
STYLES = ("bald", "buzz", "crop", "swept", "parted", "fringe", "bob", "long", "curls", "afro", "tied")
STYLE_ODDS = (5, 6, 14, 12, 12, 10, 10, 13, 8, 5, 8)


@dataclass(frozen=True)
class Traits:
    """One person's look. Colours are sRGB 0..1.

    Attributes:
        skin: [3]. melanin, age, blood: 0..1. freckles, moles: counts. blotches, pores: strengths around 1.
        lips: [3], colour laid over the skin; lip_cover: 0..1, how much of it. eyeliner: 0..1.
        hair: [3]; grey: 0..1, the share of grey strands. brow: [3]; brow_cover: 0..1;
        brow_shape: [4], millimetres of shift up, of arch, of tail, and relative thickness.
        style: one of :data:`STYLES`; receding: 0..1. beard: metres of length, 0 for none; stubble: 0..1.
        iris: [3]. pupil: metres of radius.
        shirt, trim: [3]. neckline: metres below the neck's base in front; pattern: 0 plain, 1 stripes, 2 melange.
    """

    skin: np.ndarray
    melanin: float
    age: float
    blood: float
    freckles: int
    moles: int
    blotches: float
    pores: float
    lips: np.ndarray
    lip_cover: float
    eyeliner: float
    hair: np.ndarray
    grey: float
    brow: np.ndarray
    brow_cover: float
    brow_shape: np.ndarray
    style: str
    receding: float
    beard: float
    stubble: float
    iris: np.ndarray
    pupil: float
    shirt: np.ndarray
    trim: np.ndarray
    neckline: float
    pattern: int


def random_traits(rng: np.random.Generator) -> Traits:
    """Draw a person; hair and irises go with the skin, grey with age, the rest is free."""
    melanin = float(rng.beta(0.9, 1.0))
    steps = np.linspace(0, 1, len(SKIN_TONES))
    skin = np.array([np.interp(melanin, steps, [tone[c] for tone in SKIN_TONES]) for c in range(3)])
    skin = np.clip(skin * rng.normal(1, (0.02, 0.025, 0.035)), 0.05, 0.97)
    age = float(rng.beta(1.1, 1.7))
    kind = "light" if melanin < 0.35 else "middle" if melanin < 0.65 else "dark"
    grey = float(np.clip((age - 0.45) * 2.2 + rng.normal(0, 0.25), 0, 1)) if age > 0.4 else 0.0
    odds = np.array(HAIR_ODDS[kind], float)
    name = list(HAIR_COLOURS)[rng.choice(len(odds), p=odds / odds.sum())]
    hair = np.array(HAIR_COLOURS[name]) * rng.lognormal(0, 0.12) * rng.normal(1, 0.04, 3)
    if name == "dyed":
        hair = np.clip(_hue(rng.uniform()) * rng.uniform(0.35, 0.8), 0, 1)
    # brows keep their own colour: near the hair's, darker where that is light
    brow = np.minimum(hair if name != "dyed" else np.array(HAIR_COLOURS["brown"]), 0.42) * rng.uniform(0.6, 0.95)
    bearded, light_eyed = rng.uniform() < 0.22, rng.uniform() < max(0.65 - 1.3 * melanin, 0.02)
    lipstick = not bearded and rng.uniform() < 0.25
    natural = skin * (0.80, 0.52, 0.53) + (0.05, 0.02, 0.03)
    lips = _hue(rng.normal(0.97, 0.03) % 1) * rng.uniform(0.35, 0.75) * (1, 0.6, 0.7) if lipstick else natural
    style = STYLES[rng.choice(len(STYLES), p=np.array(STYLE_ODDS) / sum(STYLE_ODDS))]
    if bearded and style in ("bob", "tied", "fringe") and rng.uniform() < 0.7:
        style = "crop"
    return Traits(
        skin=skin,
        melanin=melanin,
        age=age,
        blood=float(rng.beta(2, 2)) * (1 - 0.6 * melanin),
        freckles=int(rng.integers(60, 420)) if melanin < 0.5 and rng.uniform() < 0.22 else 0,
        moles=int(rng.integers(0, 7)),
        blotches=float(rng.lognormal(0, 0.4)),
        pores=float(rng.lognormal(0, 0.4)),
        lips=np.clip(lips, 0, 1),
        lip_cover=float(rng.uniform(0.75, 0.95) if lipstick else rng.uniform(0.45, 0.85)),
        eyeliner=float(rng.uniform(0.3, 0.9)) if lipstick or rng.uniform() < 0.08 else 0.0,
        hair=np.clip(hair, 0.02, 0.95),
        grey=grey,
        brow=np.clip(brow, 0.03, 0.5),
        brow_cover=float(rng.uniform(0.45, 0.95)),
        brow_shape=rng.normal((0, 0, 0, 1), (1.4, 1.3, 1.6, 0.22)),
        style=style,
        receding=float(rng.beta(1.2, 3)) * (1.0 if age > 0.3 else 0.4),
        beard=float(rng.choice((0.006, 0.012, 0.022, 0.04))) * rng.uniform(0.8, 1.3) if bearded else 0.0,
        stubble=float(rng.uniform(0.15, 0.8)) if bearded or (not lipstick and rng.uniform() < 0.3) else 0.0,
        iris=np.clip(
            np.array(IRISES[rng.integers(2, 6) if light_eyed else rng.choice((0, 1, 6))]) * rng.lognormal(0, 0.15), 0, 1
        ),
        pupil=float(rng.uniform(0.0014, 0.0030)),
        shirt=np.clip(_hue(rng.uniform(), rng.beta(1, 2)) * rng.beta(1.3, 1.2) + 0.03, 0, 0.92),
        trim=np.clip(_hue(rng.uniform(), rng.beta(1, 2)) * rng.beta(1.3, 1.2) + 0.03, 0, 0.92),
        neckline=float(rng.uniform(-0.02, 0.06)),
        pattern=int(rng.choice(3, p=(0.55, 0.2, 0.25))),
    )


def _hue(turn: float, saturation: float = 1.0) -> np.ndarray:
    """[3] sRGB of a hue, 0..1 once around, at full brightness."""
    pure = np.clip(np.abs((turn * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return 1 - saturation * (1 - pure)
