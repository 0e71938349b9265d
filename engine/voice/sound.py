"""Sound of any kind of file, a clip's too, at the rate that the phones' model was trained at."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from engine.errors import PhotoError
from engine.photos.decode import check_file
from engine.progress import Progress

RATE = 16_000  # Hz
MOST_BYTES = 4_000_000_000
MOST_SECONDS = 3600.0  # 115 MB of samples
PIECE = 1 << 18  # bytes at a time
SILENT = 10 ** (-60 / 20)  # of full scale, the loudest moment of what counts as silence
WINDOW = 400  # samples, 25 ms
# Of FFmpeg's readers, those of files of sound and of clips: it would also follow a playlist to other files.
READERS = "wav,w64,aiff,caf,au,flac,ogg,mp3,aac,amr,asf,mov,matroska,avi,mpeg,mpegts"
WAY_OUT = "Give a WAV, FLAC, OGG, MP3 or M4A file, or a clip with sound."


def read_sound(path: Path, progress: Progress) -> np.ndarray:
    """All of a file's first sound track, mixed to one channel.

    Returns:
        [N] int16 at :data:`RATE`.

    Raises:
        PhotoError: there is no such file, no sound in it, only silence, or more than an hour.
        Cancelled: the user asked to stop.
    """
    check_file(path, MOST_BYTES)
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe"]
    words += ["-format_whitelist", READERS, "-i", f"file:{path.resolve()}", "-map", "0:a:0"]
    words += ["-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]
    most = int(MOST_SECONDS * RATE) * 2
    content = bytearray()
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as decoder:
            try:
                assert decoder.stdout is not None
                while piece := decoder.stdout.read(PIECE):
                    content += piece
                    progress.update(len(content) / most)
                    if len(content) > most:
                        raise PhotoError(
                            f"{path.name} is longer than {MOST_SECONDS / 60:.0f} minutes.", "Cut it into parts."
                        )
            finally:
                decoder.kill()  # where it still runs
        said.seek(0)
        complaint = said.read(4096).decode("utf-8", errors="replace")
    if not content:
        if "matches no streams" in complaint:
            raise PhotoError(f"{path.name} has no sound track.", WAY_OUT)
        raise PhotoError(f"{path.name} is not a sound that can be read, or has none in it.", WAY_OUT)
    sound = np.frombuffer(bytes(content[: len(content) & ~1]), "<i2")
    if loudness(sound, RATE / WINDOW).max() < SILENT:
        raise PhotoError(f"There is only silence in {path.name}.", "Choose another file, or record it again, louder.")
    return sound


def loudness(sound: np.ndarray, rate: float) -> np.ndarray:
    """[T] root mean squares of full scale, ``rate`` of them a second, each of the 25 ms around its time."""
    count = max(int(np.ceil(len(sound) / RATE * rate)), 1)
    sums = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float32), dtype=np.float64)])
    middle = (np.arange(count) * RATE / rate).astype(int)
    first, last = (np.clip(middle + way * WINDOW // 2, 0, len(sound)) for way in (-1, 1))
    return np.sqrt((sums[last] - sums[first]) / np.maximum(last - first, 1)) / 2**15
