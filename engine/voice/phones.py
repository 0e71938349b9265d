"""Which phones are spoken when: by aligning a text with the sound, or by listening for phones alone.

By PocketSphinx (Huggins-Daines et al., ICASSP 2006) and the US English model in its wheel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from engine.errors import EngineError
from engine.progress import Progress
from engine.voice.sound import RATE
from engine.voice.words import pronounced

HOP = RATE // 100  # samples between the model's frames
SILENCE = "SIL"
NAMES = ("AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH").split()
PAD = 30  # frames of near silence around each piece: the model expects some
HISS = 8.0  # of int16, standard deviation of what is laid under the sound: in digital silence the model is lost
SHORT, LONG, PAUSE = 6.0, 20.0, 0.12  # s: a piece ends at a pause after SHORT, and at any word after LONG
WINDOW, UNSURE = 3000, 300  # frames in which words are looked for at once, and of those at its end that come again
MOST_WORDS = 180  # in a window: six a second
# Of the search; what is aligned has only one way through, so that wide beams cost little.
WIDE = {"beam": 1e-80, "wbeam": 1e-60, "pbeam": 1e-80}
HEARD = {"beam": 1e-40, "pbeam": 1e-40, "lw": 2.0, "warp_type": "inverse_linear"}
# Lengths of the vocal tract, over the usual, at which closed lips are listened for: what either hears counts, since
# lips that stay open at a closure are seen by everybody, and lips that close at another stop by hardly anyone.
TRACTS = ("1.0", "1.1")
CLOSED = {"M": "M", "B": "B", "P": "P", "G": "B"}  # what is heard, and what it is: most of the rare G are B
MURMUR_DB, MURMUR_SECONDS = 12.0, 0.25  # under the whole sound's mean, and length: silence that is as loud is an M


@dataclass(frozen=True)
class Phone:
    """An ARPAbet phone without stress, or :data:`SILENCE`, from ``start`` to ``end`` seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class _Word:
    text: str
    phones: tuple[str, ...]
    start: int
    end: int  # frames; the end is not its own


@cache
def library() -> ModuleType:
    """PocketSphinx.

    Raises:
        EngineError: it has no wheel for this Python.
    """
    try:
        import pocketsphinx
    except ImportError as error:
        raise EngineError(
            "PocketSphinx, which hears phones in voices, does not come with this Python.",
            "Use the Blender from blender.org, whose Python is 3.11 or 3.13.",
        ) from error
    return pocketsphinx


@cache
def _aligner() -> Any:
    decoder = library().Decoder(lm=None, loglevel="FATAL", **WIDE)
    for name in NAMES:
        decoder.add_word(_alone(name), name, name == NAMES[-1])
    return decoder


@cache
def _listener(tract: str) -> Any:
    loop = library().get_model_path("en-us/en-us-phone.lm.bin")
    return library().Decoder(lm=None, allphone=loop, loglevel="FATAL", warp_params=tract, **HEARD)


def unknown(words: Sequence[str]) -> list[str]:
    """Those of the words that the dictionary has not."""
    return sorted({word for word in words if _aligner().lookup_word(word) is None})


def align(sound: np.ndarray, words: Sequence[str], progress: Progress) -> list[Phone]:
    """When the phones of a text are spoken. First where its words are in the whole sound, then, piece by piece between
    pauses, where their phones are.

    Args:
        sound: [N] int16 at 16 kHz. words: as :func:`engine.voice.words.words_of` gives them.

    Returns:
        Phones in their order; none where the words do not fit the sound at all.
    """
    placed = _place(sound, words, progress)
    phones: list[Phone] = []
    for piece in _pieces(placed):
        progress.update(0.5 + 0.5 * piece[-1].end * HOP / len(sound))
        first, last = max(piece[0].start - PAD // 2, 0), piece[-1].end + PAD // 2
        names = [name for word in piece for name in word.phones]
        found = _segments(_aligner(), sound[first * HOP : last * HOP], " ".join(map(_alone, names)))
        if [name for name, _, _ in found if name[0] == "_"] != [_alone(name) for name in names]:
            phones += _spread(piece)
            continue
        phones += [_phone(name[1:], first + start, first + end) for name, start, end in found if name[0] == "_"]
    return phones


def hear(sound: np.ndarray, progress: Progress) -> list[Phone]:
    """What phones the sound has, without a text; piece by piece, so that memory stays bounded.

    Returns:
        Phones by their beginnings; closures may overlap with others.
    """
    phones: list[Phone] = []
    whole, step = len(sound) // HOP + 1, int(LONG * 100)
    murmur = 10 ** (-MURMUR_DB / 20) * _level(sound)
    for first in range(0, whole, step):
        piece = sound[first * HOP : (first + step) * HOP]
        for number, tract in enumerate(TRACTS):
            progress.update((first + step * number / len(TRACTS)) / whole)
            for name, start, end in _segments(_listener(tract), piece):
                inside = piece[max(start, 0) * HOP : end * HOP]
                if name == SILENCE and end - start < MURMUR_SECONDS * 100 and _level(inside) > murmur:
                    name = "M"
                if name in CLOSED or not number and name in NAMES:
                    phones.append(_phone(CLOSED.get(name, name), first + start, first + end))
    return sorted(phones, key=lambda phone: phone.start)


def _level(sound: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(sound, dtype=np.float32).mean())) if len(sound) else 0.0


def _place(sound: np.ndarray, words: Sequence[str], progress: Progress) -> list[_Word]:
    """Where the words are in the whole sound, with the pronunciation that fits each best; none where they do not fit.

    Window after window: what the last seconds of one have is looked for again in the next.
    """
    decoder = _aligner()
    for word in unknown(words):
        decoder.add_word(word, pronounced(word), True)
    placed: list[_Word] = []
    first, end = 0, len(sound) // HOP + 1
    while len(placed) < len(words):
        progress.update(0.5 * first / end)
        last = first + WINDOW >= end
        text = words[len(placed) :] if last else words[len(placed) : len(placed) + MOST_WORDS]
        piece = sound[first * HOP : (first + WINDOW) * HOP]
        found = _segments(decoder, piece, " ".join(text), until_the_end=last)
        spoken = [segment for segment in found if segment[0][0] not in "<[+"]
        if last and len(spoken) < len(text):
            return []
        if not last:
            spoken = [segment for segment in spoken if segment[2] < WINDOW - UNSURE]
        for word, start, stop in spoken:
            placed.append(_Word(word, tuple(decoder.lookup_word(word).split()), first + start, first + stop))
        first = placed[-1].end if spoken else first + WINDOW - UNSURE
    return placed


def _pieces(words: Sequence[_Word]) -> Iterator[list[_Word]]:
    piece: list[_Word] = []
    for word in words:
        if piece:
            seconds, pause = (word.start - piece[0].start) / 100, (word.start - piece[-1].end) / 100
            if seconds > LONG or seconds > SHORT and pause > PAUSE:
                yield piece
                piece = []
        piece.append(word)
    if piece:
        yield piece


def _segments(
    decoder: Any, sound: np.ndarray, text: str = "", until_the_end: bool = True
) -> list[tuple[str, int, int]]:
    """Name, first frame and end of what is found in a piece of sound; ``until_the_end`` all of a text is."""
    if text:
        decoder.set_align_text(text)
    decoder.start_utt()
    decoder.process_raw(_padded(sound).tobytes(), full_utt=True)
    if until_the_end:
        decoder.end_utt()
    found = [(one.word, one.start_frame - PAD, one.end_frame + 1 - PAD) for one in decoder.seg() or ()]
    if not until_the_end:
        decoder.end_utt()
    return found


def _padded(sound: np.ndarray) -> np.ndarray:
    """[N] int16 with near silence around it, and a little hiss throughout."""
    hiss = np.random.default_rng(0).normal(0, HISS, len(sound) + 2 * PAD * HOP).astype(np.float32)
    hiss[PAD * HOP : PAD * HOP + len(sound)] += sound
    return hiss.clip(-(2**15), 2**15 - 1).astype(np.int16)


def _spread(piece: Sequence[_Word]) -> Iterator[Phone]:
    """Phones evenly in their words, where the sound does not tell."""
    for word in piece:
        ends = np.linspace(word.start, word.end, len(word.phones) + 1)
        yield from (_phone(name, *at) for name, at in zip(word.phones, zip(ends, ends[1:], strict=False), strict=True))


def _phone(name: str, start: float, end: float) -> Phone:
    return Phone(name, max(float(start) / 100, 0.0), float(end) / 100)


def _alone(name: str) -> str:
    """A phone as a word of the decoder's own."""
    return f"_{name}"
