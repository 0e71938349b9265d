"""A voice, and the lips that it moves: against the times that the synthesiser itself tells, on the head's own mesh."""

import csv
import json
import subprocess
import wave
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from engine.arkit import ARKIT_NAMES
from engine.cli import main
from engine.errors import Cancelled, EngineError, PhotoError
from engine.progress import Progress
from engine.voice import MOST_TEXT, speak
from engine.voice.lips import LOOKS, articulate
from engine.voice.phones import NAMES, SILENCE, Phone
from engine.voice.sound import RATE, read_sound
from engine.voice.words import pronounced, words_of

from .spoken import SENTENCES, Truth, boundary_errors, closures, espeak, lip_gap, say

pytestmark = pytest.mark.slow  # for the model of speech and the head

SPEECH = Path(__file__).with_name("speech.flac")
KNOWN = json.loads(SPEECH.with_suffix(".json").read_text("utf-8"))
TRUTH = [Truth(*phone) for phone in KNOWN["phones"]]
BLINK = ARKIT_NAMES.index("eyeBlinkLeft")


def ffmpeg(*words: object) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, words)], check=True)


def tone(path: Path, seconds: float, height: float = 0.3) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        samples = height * 32767 * np.sin(2 * np.pi * 220 * np.arange(int(8000 * seconds)) / 8000)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def told():
    return speak(SPEECH, Progress(), KNOWN["text"])


def test_lips_close_when_the_synthesiser_says_m_b_p_and_open_between(told):
    assert np.median(boundary_errors(told, TRUTH)) < 0.05
    assert np.mean(list(closures(told, TRUTH))) >= 0.9
    assert not told.notes and (told.take.confidence == 1).all()
    gaps = lip_gap(told.take.weights)
    vowels = [phone for phone in TRUTH if phone.name in ("aI", "V", "O:", "0")]
    widest = [gaps[(told.take.times >= p.start) & (told.take.times < p.end)].max() for p in vowels]
    assert min(widest) > 2 and max(widest) < 25  # mm


def test_without_a_text_most_closures_are_heard_and_the_report_says_so():
    heard = speak(SPEECH, Progress())
    assert np.mean(list(closures(heard, TRUTH))) >= 0.6
    assert "guessed" in heard.notes[-1] and (heard.take.confidence < 1).all()


@pytest.mark.skipif(espeak() is None, reason="espeak-ng's library is not installed (Debian: espeak-ng)")
def test_a_sentence_that_is_spoken_now(tmp_path):
    truth = say(SENTENCES[1], tmp_path / "voice.wav")
    speech = speak(tmp_path / "voice.wav", Progress(), SENTENCES[1])
    assert np.median(boundary_errors(speech, truth)) < 0.05 and np.mean(list(closures(speech, truth))) >= 0.9


def test_any_rate_channels_and_container_say_the_same(tmp_path, told):
    clip, stereo = tmp_path / "clip.mp4", tmp_path / "stereo.ogg"
    ffmpeg("-f", "lavfi", "-i", "color=s=64x64:d=2.5", "-i", SPEECH, "-c:a", "aac", "-shortest", clip)
    ffmpeg("-i", SPEECH, "-ac", 2, "-ar", 44100, stereo)
    for path in (clip, stereo):
        speech = speak(path, Progress(), KNOWN["text"])
        starts = [np.array([p.start for p in made.phones]) for made in (speech, told)]
        assert np.abs(starts[0] - starts[1]).max() < 0.06


def test_long_sound_is_aligned_window_by_window(tmp_path, monkeypatch):
    """Six times the sentence: the last one is as near as the first."""
    monkeypatch.setattr("engine.voice.phones.WINDOW", 800)
    ffmpeg("-stream_loop", 5, "-i", SPEECH, tmp_path / "long.wav")
    length = len(read_sound(SPEECH, Progress())) / RATE
    speech = speak(tmp_path / "long.wav", Progress(), " ".join([KNOWN["text"]] * 6))
    truth = [Truth(p.name, p.start + n * length, p.end + n * length) for n in range(6) for p in TRUTH]
    assert np.median(boundary_errors(speech, truth)) < 0.05
    assert np.mean(list(closures(speech, truth[-len(TRUTH) :]))) >= 0.9


def test_another_text_is_left_out_and_strange_words_are_named(tmp_path):
    other = speak(SPEECH, Progress(), " ".join(["Completely unrelated zorbified sentences"] * 12))
    assert "zorbified" in other.notes[0] and "does not fit" in other.notes[1] and other.phones


def test_liveliness_is_seeded_and_can_be_none(told):
    again, another = (speak(SPEECH, Progress(), KNOWN["text"], seed, 1.0).take for seed in (0, 1))
    still = speak(SPEECH, Progress(), KNOWN["text"], 0, 0.0).take
    assert np.array_equal(told.take.weights, speak(SPEECH, Progress(), KNOWN["text"]).take.weights)
    assert not np.array_equal(again.head, another.head)
    assert 0 < np.degrees(np.abs(again.head)).max() < 12 and not again.head[[0, -1]].any()
    assert not still.head.any() and not still.weights[:, BLINK].any()


def test_every_phone_has_a_look_and_a_closure_of_a_frame_meets_film_at_any_phase():
    assert set(NAMES) | {SILENCE} == set(LOOKS)
    weights = articulate([Phone("AA", 0.1, 0.3), Phone("B", 0.3, 0.31), Phone("AA", 0.31, 0.6)], np.ones(60), 60)
    gaps = lip_gap(weights)
    for phase in np.linspace(0, 1 / 24, 9):
        assert np.interp(np.arange(phase, 0.9, 1 / 24), np.arange(60) / 60, gaps)[5:10].min() <= 1
    assert gaps[10:15].max() > 5
    louder = articulate([Phone("AA", 0.1, 0.3), Phone("AA", 0.5, 0.7)], np.where(np.arange(60) < 24, 1, 0.3), 60)
    assert louder[12].max() > louder[36].max()


def test_text_becomes_words_and_words_phones():
    assert words_of("It’s 1984: the 3rd café [laughs] & 1250 <b>x</b>") == (
        "it's nineteen eighty four the third cafe and twelve fifty x".split()
    )
    assert pronounced("blark") == "B L AA R K" and pronounced("nvs") == "EH N V IY EH S" and pronounced("'") == "AH"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.wav", None, "none.wav does not exist"),
        ("empty.wav", b"", "empty.wav is empty"),
        ("noise.mp3", b"no sound at all" * 99, "noise.mp3 is not a sound"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "list.m3u8 is not a sound"),
    ],
)
def test_what_is_no_sound_is_refused_by_name(name, content, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PhotoError, match=said):
        speak(tmp_path / name, Progress())


def test_silence_nothing_pictures_only_and_too_much_are_refused(tmp_path, monkeypatch):
    mute = tmp_path / "mute.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=s=64x64:d=0.2", mute)
    cases = [
        (tone(tmp_path / "quiet.wav", 1, 1e-4), "only silence in quiet.wav"),
        (tone(tmp_path / "nothing.wav", 0), "nothing.wav"),
        (mute, "mute.mp4 has no sound track"),
    ]
    for path, said in cases:
        with pytest.raises(PhotoError, match=said):
            speak(path, Progress())
    monkeypatch.setattr("engine.voice.sound.MOST_SECONDS", 1.0)
    with pytest.raises(PhotoError, match="longer than"):
        speak(SPEECH, Progress())
    with pytest.raises(EngineError, match="characters"):
        speak(SPEECH, Progress(), "a" * (MOST_TEXT + 1))
    with pytest.raises(Cancelled):
        speak(SPEECH, Progress(is_cancelled=lambda: True))


def test_the_command_writes_a_take(tmp_path, capsys):
    text, path = tmp_path / "said.txt", tmp_path / "take.csv"
    text.write_text(KNOWN["text"], "utf-8")
    assert main(["speak", str(SPEECH), "--text-file", str(text), "-o", str(path), "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert report["samples"] == len(rows) and len(report["phones"]) >= len(TRUTH) - 2
    assert max(float(row["JawOpen"]) for row in rows) > 0.2
    text.write_bytes(b"\xff\xfe\xfa")
    assert main(["speak", str(SPEECH), "--text-file", str(text), "-o", str(path)]) == 1
    assert main(["speak", str(SPEECH), "-o", str(tmp_path / "take.txt")]) == 1
