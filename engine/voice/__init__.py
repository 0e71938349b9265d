"""Voices: speech becomes a take of ARKit weights, for any head; English best, with what is said as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import EngineError
from engine.performance import Take
from engine.progress import Progress
from engine.voice.lips import articulate
from engine.voice.liveliness import enliven
from engine.voice.phones import Phone, align, hear, library, unknown
from engine.voice.sound import loudness, read_sound
from engine.voice.words import words_of

__all__ = ["MOST_TEXT", "Speech", "speak"]

TAKE_RATE = 60.0  # samples a second
MOST_TEXT = 100_000  # characters, of more than the longest sound
NAMED = 12  # words in a note
SURE, UNSURE = 1.0, 0.5  # confidence with and without a text


@dataclass(frozen=True)
class Speech:
    """A spoken take: what was heard, and sentences that whoever uses it should read."""

    take: Take
    phones: tuple[Phone, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What a report says of it, for ``json.dump``."""
        phones = [[phone.name, round(phone.start, 3), round(phone.end, 3)] for phone in self.phones]
        return {"samples": len(self.take.times), "rate": self.take.rate, "phones": phones, "notes": self.notes}


def speak(path: Path, progress: Progress, text: str = "", seed: int = 0, liveliness: float = 0.5) -> Speech:
    """Move a mouth as a voice does.

    With a text its phones are aligned with the sound (:mod:`engine.voice.phones`), without one they are guessed from
    the sound alone, by a model of US English: other languages become lips that are about as open and as busy.

    Args:
        path: a sound, or a clip with one.
        text: what is said, in English.
        seed: of blinks, brows and the head's motion; liveliness: how much of that there is, 0 to 1.

    Raises:
        PhotoError: no sound can be read there, or there is only silence. EngineError: the text is too long, or this
            Python has no PocketSphinx.
        Cancelled: the user asked to stop.
    """
    if len(text) > MOST_TEXT:
        raise EngineError(f"The text has {len(text)} characters.", f"Give at most {MOST_TEXT} with each sound.")
    library()  # before work
    progress.start("sound")
    sound = read_sound(path, progress)
    progress.start("phones")
    words = words_of(text)
    notes = []
    if words and (strange := unknown(words)):
        more = f" and {len(strange) - NAMED} more" if len(strange) > NAMED else ""
        notes.append(f"Not in the dictionary, pronounced by their letters: {', '.join(strange[:NAMED])}{more}.")
    phones = align(sound, words, progress) if words else []
    told = bool(phones)
    if words and not told:
        notes.append(f"The text does not fit what is said in {path.name}, so it was left out.")
    if not told:
        notes.append("Without a text that fits, lips are guessed from the sound.")
        phones = hear(sound, progress)
    progress.start("lips")
    loud = loudness(sound, TAKE_RATE)
    weights = articulate(phones, loud, TAKE_RATE)
    weights, head = enliven(weights, loud, TAKE_RATE, seed, liveliness)
    count = len(loud)
    take = Take(
        times=np.arange(count) / TAKE_RATE,
        weights=weights,
        head=head,
        left_eye=np.zeros((count, 3)),
        right_eye=np.zeros((count, 3)),
        residual=np.zeros(count),
        confidence=np.full(count, SURE if told else UNSURE),
        rate=TAKE_RATE,
        frames=count,
        gaps=(),
    )
    progress.finish()
    return Speech(take, tuple(phones), tuple(notes))
