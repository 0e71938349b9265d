"""Phones to ARKit weights: targets that reach into each other as mouths do, and lips that close where they must.

Coarticulation by dominance functions (Cohen and Massaro, "Modeling Coarticulation in Synthetic Visual Speech", 1993):
what each phone wants of the mouth fades exponentially away from it, and the mouth does the mean. A mean never quite
closes, so the lips of m, b, p and the bite of f, v are laid over it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.voice.phones import SILENCE, Phone

CHANNELS = ("jaw", "wide", "round", "funnel", "upper", "lower", "tongue")
LOOKS = {  # phone -> how far each channel goes; a diphthong has two
    "AA": ({"jaw": 0.5, "lower": 0.1},),
    "AE": ({"jaw": 0.42, "wide": 0.25, "upper": 0.12, "lower": 0.2},),
    "AH": ({"jaw": 0.32, "lower": 0.1},),
    "AO": ({"jaw": 0.4, "funnel": 0.3, "round": 0.15},),
    "EH": ({"jaw": 0.32, "wide": 0.2, "lower": 0.15},),
    "ER": ({"jaw": 0.2, "funnel": 0.25, "round": 0.15},),
    "IH": ({"jaw": 0.2, "wide": 0.22, "lower": 0.1},),
    "IY": ({"jaw": 0.13, "wide": 0.4, "upper": 0.08, "lower": 0.12},),
    "UH": ({"jaw": 0.18, "round": 0.4, "funnel": 0.15},),
    "UW": ({"jaw": 0.12, "round": 0.65, "funnel": 0.15},),
    "B": ({"jaw": 0.06},),
    "CH": ({"jaw": 0.08, "funnel": 0.35, "round": 0.1, "lower": 0.1},),
    "D": ({"jaw": 0.11, "lower": 0.1},),
    "DH": ({"jaw": 0.13, "tongue": 0.25, "lower": 0.1},),
    "F": ({"jaw": 0.05, "upper": 0.15},),
    "G": ({"jaw": 0.18},),
    "HH": ({"jaw": 0.2},),
    "L": ({"jaw": 0.18, "lower": 0.08},),
    "R": ({"jaw": 0.13, "funnel": 0.25, "round": 0.2},),
    "S": ({"jaw": 0.05, "wide": 0.22, "upper": 0.1, "lower": 0.22},),
    "W": ({"jaw": 0.08, "round": 0.75},),
    "Y": ({"jaw": 0.11, "wide": 0.3},),
    SILENCE: ({},),
}
LOOKS |= {"T": LOOKS["D"], "N": LOOKS["D"], "TH": LOOKS["DH"], "V": LOOKS["F"], "K": LOOKS["G"], "NG": LOOKS["G"]}
LOOKS |= {"P": LOOKS["B"], "M": LOOKS["B"], "Z": LOOKS["S"], "SH": LOOKS["CH"], "ZH": LOOKS["CH"], "JH": LOOKS["CH"]}
for _two, _parts in {"AY": "AA IH", "AW": "AA UH", "EY": "EH IY", "OW": "AO UW", "OY": "AO IY"}.items():
    LOOKS[_two] = tuple(look for part in _parts.split() for look in LOOKS[part])
KEYS = {  # channel -> the ARKit weights that it is
    "jaw": {"jawOpen": 1.0},
    "wide": {"mouthStretchLeft": 0.5, "mouthStretchRight": 0.5, "mouthSmileLeft": 0.35, "mouthSmileRight": 0.35},
    "round": {"mouthPucker": 1.0},
    "funnel": {"mouthFunnel": 1.0},
    "upper": {"mouthUpperUpLeft": 1.0, "mouthUpperUpRight": 1.0},
    "lower": {"mouthLowerDownLeft": 1.0, "mouthLowerDownRight": 1.0},
    "tongue": {"tongueOut": 1.0},
}
# Of a phone's dominance: how strong it is, consonants that leave the lips to others apart, and 1/s by which it
# fades before the phone and after it. Lips round early, and jaws are slow.
STRENGTH = 1.0
YIELDING: dict[str, float] = dict.fromkeys("HH K G NG D T N L".split(), 0.25)
FADE = {"jaw": (22.0, 22.0), "round": (12.0, 20.0), "funnel": (14.0, 22.0)}
USUAL_FADE = (20.0, 24.0)
REACH = 0.35  # s, beyond which a phone says nothing
CORE = 0.5  # of a phone's length, in its middle, in which it says all
REST = 0.02  # dominance of the resting mouth, everywhere

CLOSED, BITTEN = ("M", "B", "P"), ("F", "V")
LEAST_CLOSED = 0.05  # s; over 1/24, so that a film's frame always meets it
CLOSING, OPENING = 0.045, 0.05  # s before and after: the vowel of "mum" still opens
SHUT = {"mouthPressLeft": 0.25, "mouthPressRight": 0.25}
BITE = {"mouthRollLower": 0.42, "mouthUpperUpLeft": 0.15, "mouthUpperUpRight": 0.15, "mouthShrugLower": 0.2}
OPENERS = ("mouthFunnel", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight")
LOWERED = 0.6  # of the jaw, that stays open behind closed lips

QUIET, LOUD, DECIBELS = 0.6, 1.35, 22.0  # factors of the jaw, and dB over the usual at which it would be doubled
MOST_JAW = 0.8


def articulate(phones: Sequence[Phone], loudness: np.ndarray, rate: float) -> np.ndarray:
    """The mouth's weights, [T, 52] 0..1, at ``rate`` samples a second.

    Args:
        phones: in their order, what is between them is silence.
        loudness: [T] root mean squares, as :func:`engine.voice.sound.loudness` gives them.
    """
    times = np.arange(len(loudness)) / rate
    channels = _blend(_with_silences(phones, times[-1]), times)
    channels[:, 0] *= _emphasis(phones, loudness, rate)
    weights = np.zeros((len(times), len(ARKIT_NAMES)))
    for channel, values in zip(CHANNELS, channels.T, strict=True):
        for name, share in KEYS[channel].items():
            weights[:, _key(name)] += share * values
    jaw = weights[:, _key("jawOpen")]
    np.minimum(jaw, MOST_JAW, out=jaw)
    shut, bitten = (envelope(phones, names, times) for names in (CLOSED, BITTEN))
    for held, also in ((bitten, BITE), (shut, SHUT)):
        jaw *= 1 - (1 - LOWERED) * held
        for name in (*OPENERS, "tongueOut"):
            weights[:, _key(name)] *= 1 - held
        for name, most in also.items():
            weights[:, _key(name)] = np.maximum(weights[:, _key(name)], most * held)
    for name in BITE:
        weights[:, _key(name)] *= 1 - shut
    weights[:, _key("mouthClose")] = shut * jaw
    return weights.clip(0, 1)


def envelope(phones: Sequence[Phone], names: Sequence[str], times: np.ndarray) -> np.ndarray:
    """[T] 0..1: 1 while one of the named phones is spoken, and for a film's frame at least."""
    held = np.zeros(len(times))
    for phone in phones:
        if phone.name not in names:
            continue
        middle, half = (phone.start + phone.end) / 2, max(phone.end - phone.start, LEAST_CLOSED) / 2
        near = slice(*np.searchsorted(times, (middle - half - CLOSING, middle + half + OPENING)))
        before, after = middle - half - times[near], times[near] - middle - half
        outside = np.maximum(before / CLOSING, after / OPENING).clip(0, 1)
        held[near] = np.maximum(held[near], 1 - outside**2 * (3 - 2 * outside))
    return held


def _with_silences(phones: Sequence[Phone], end: float) -> list[Phone]:
    filled: list[Phone] = []
    at = 0.0
    for phone in (*phones, Phone(SILENCE, max(end, at), max(end, at))):
        if phone.start > at + 1e-6:
            filled.append(Phone(SILENCE, at, phone.start))
        filled.append(phone)
        at = max(at, phone.end)
    return filled


def _blend(phones: Sequence[Phone], times: np.ndarray) -> np.ndarray:
    """[T, C] of the channels: the mean of what the phones want, by their dominance."""
    total = np.zeros((len(times), len(CHANNELS)))
    dominance = np.full_like(total, REST)
    fades = np.array([FADE.get(channel, USUAL_FADE) for channel in CHANNELS]).T
    for phone in phones:
        looks = LOOKS[phone.name]
        edges = np.linspace(phone.start, phone.end, len(looks) + 1)
        for look, start, end in zip(looks, edges, edges[1:], strict=False):
            near = slice(*np.searchsorted(times, (start - REACH, end + REACH)))
            margin = (end - start) * (1 - CORE) / 2
            before = np.maximum(start + margin - times[near], 0)[:, None]
            after = np.maximum(times[near] - end + margin, 0)[:, None]
            strength = YIELDING.get(phone.name, STRENGTH) * np.exp(-fades[0] * before - fades[1] * after)
            total[near] += strength * [look.get(channel, 0.0) for channel in CHANNELS]
            dominance[near] += strength
    return total / dominance


def _emphasis(phones: Sequence[Phone], loudness: np.ndarray, rate: float) -> np.ndarray:
    """[T] factors of the jaw: who speaks up opens the mouth wider."""
    smooth = np.convolve(np.pad(loudness, 2, mode="edge"), np.hanning(7)[1:-1] / 3, mode="valid")
    level = 20 * np.log10(smooth + 1e-5)
    spoken = [level[int((p.start + p.end) / 2 * rate) % len(level)] for p in phones if p.name[0] in "AEIOU"]
    usual = np.median(spoken) if spoken else level.max()
    return np.clip(1 + (level - usual) / DECIBELS, QUIET, LOUD)


def _key(name: str) -> int:
    return ARKIT_NAMES.index(name)
