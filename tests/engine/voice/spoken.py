"""Sentences that espeak-ng speaks, with its own times of every phone; and how near the lips come to them.

``python -m tests.engine.voice.spoken`` prints docs/measured.md's table. Needs espeak-ng's library (Debian: espeak-ng).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.heads import load_head
from engine.heads.landmarks import LOWER_LIP_INNER, UPPER_LIP_INNER
from engine.progress import Progress
from engine.voice import Speech, speak
from engine.voice.phones import SILENCE

SENTENCES = (
    "My mother bought a big pump from Bob.",
    "Please put the paper map back on the table before Monday.",
    "Five very famous women finally moved to Boston.",
    "The quick brown fox jumps over the lazy dog.",
    "She sells sea shells by the sea shore every summer.",
    "Peter Piper picked a peck of pickled peppers.",
    "We were away a year ago, but now we are home again.",
    "Where were you while the children played in the garden?",
    "The birch canoe slid on the smooth planks.",  # this one and the next eight: IEEE's Harvard sentences, 1969
    "Glue the sheet to the dark blue background.",
    "It's easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
    "Maybe my brother will bring the camera to the beach.",
    "Everybody believed that the number was impossible.",
    "Thank you for your help, I promise to remember it.",
)
CLOSED = ("m", "b", "p")  # espeak's own names
VOWEL = "vowel"
SAME = dict(
    zip(
        "m b p t t2 * d k g f v s z h n n- N l r r- w j T D S Z tS dZ".split(),
        "M B P T T T D K G F V S Z HH N N NG L R R W Y TH DH SH ZH CH JH".split(),
        strict=True,
    )
)
MET = 1.0  # mm between the lips


@dataclass(frozen=True)
class Truth:
    """A phone by its synthesiser."""

    name: str
    start: float
    end: float


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):  # espeak_EVENT of espeak-ng/speak_lib.h
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("id", _Id),
    )


PHONEME, SYNCHRONOUS, PHONEME_EVENTS, UTF8, RATE_PARAMETER = 7, 2, 1, 1, 1


@cache
def espeak() -> tuple[ctypes.CDLL, int] | None:
    """The library and its sample rate; None where it is not installed."""
    name = ctypes.util.find_library("espeak-ng")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    return library, library.espeak_Initialize(SYNCHRONOUS, 0, None, PHONEME_EVENTS)


def say(text: str, path: Path, speed: int = 160) -> list[Truth]:
    """Write a sentence as a WAV file; the phones in it."""
    installed = espeak()
    assert installed is not None
    library, rate = installed
    samples = bytearray()
    events: list[tuple[float, str]] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))
    def listen(pcm, count, event):
        if pcm:
            samples.extend(ctypes.string_at(pcm, 2 * count))
        number = 0
        while event[number].type:
            if event[number].type == PHONEME:
                events.append((event[number].sample / rate, event[number].id.string.decode("utf-8", "replace")))
            number += 1
        return 0

    library.espeak_SetSynthCallback(listen)
    library.espeak_SetVoiceByName(b"en-us")
    library.espeak_SetParameter(RATE_PARAMETER, speed, 0)
    words = text.encode() + b"\0"
    library.espeak_Synth(words, len(words), 0, 1, 0, UTF8, None, None)
    library.espeak_Synchronize()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(bytes(samples))
    ends = [*(time for time, _ in events[1:]), len(samples) / 2 / rate]
    return [Truth(name, start, end) for (start, name), end in zip(events, ends, strict=True) if name.strip("_:")]


def lip_gap(weights: np.ndarray) -> np.ndarray:
    """[T] mm between the lips' middle on the default head's mesh, over what is between them at rest."""
    head = load_head()
    rows = [UPPER_LIP_INNER[3:6], LOWER_LIP_INNER[3:6]]
    corners = head.faces[head.landmark_triangles[rows]]  # [2, 3, 3]
    shares = head.landmark_barycentrics[rows][..., None]
    moved = (head.expression_basis[:, corners] * shares).sum(axis=3)[..., 1]  # [E, 2, 3]
    apart = np.tensordot(weights, moved[: len(ARKIT_NAMES), 0] - moved[: len(ARKIT_NAMES), 1], axes=1)
    return 1e3 * apart.max(axis=1)


def boundary_errors(speech: Speech, truth: Sequence[Truth]) -> np.ndarray:
    """[P] seconds between where phones begin and where they were found, for those that two sequences of names share:
    times take no part in who belongs to whom."""
    found = [phone for phone in speech.phones if phone.name != SILENCE]
    names = [VOWEL if phone.name[0] in "AEIOU" else phone.name for phone in found]
    true = [SAME.get(phone.name, VOWEL) for phone in truth]
    blocks = SequenceMatcher(None, true, names, autojunk=False).get_matching_blocks()
    pairs = [(truth[a + n], found[b + n]) for a, b, size in blocks for n in range(size)]
    return np.array([abs(spoken.start - heard.start) for spoken, heard in pairs])


def closures(speech: Speech, truth: Sequence[Truth]) -> Iterator[bool]:
    """Of every m, b, p, whether the lips meet while it is spoken."""
    gaps, times = lip_gap(speech.take.weights), speech.take.times
    for phone in truth:
        if phone.name in CLOSED:
            during = gaps[(times >= phone.start) & (times < phone.end)]
            yield bool(during.size and during.min() <= MET)


def main() -> None:
    if espeak() is None:
        sys.exit("espeak-ng's library is not installed (Debian: apt-get install espeak-ng).")
    print("| 20 sentences | phones paired | boundaries: median, 90 % | m, b, p closed | lips closed, of the time |")
    print("| --- | --- | --- | --- | --- |")
    for label, with_text in (("with text", True), ("without", False)):
        errors, met, shut, spoken_phones = [], [], [], 0
        for sentence in SENTENCES:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "voice.wav"
                truth = say(sentence, path)
                speech = speak(path, Progress(), sentence if with_text else "")
            spoken_phones += len(truth)
            errors.append(boundary_errors(speech, truth))
            met += closures(speech, truth)
            spoken = (speech.take.times > truth[0].start) & (speech.take.times < truth[-1].end)
            shut.append((lip_gap(speech.take.weights)[spoken] <= MET).mean())
        middle, most = 1e3 * np.quantile(np.concatenate(errors), (0.5, 0.9))
        paired = sum(map(len, errors)) / spoken_phones
        row = f"{paired:.0%} | {middle:.0f} ms, {most:.0f} ms | {np.mean(met):.0%} of {len(met)} | {np.mean(shut):.0%}"
        print(f"| {label} | {row} |", flush=True)


if __name__ == "__main__":
    main()
