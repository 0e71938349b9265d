"""Reads video clips: single frames by number, and a small set of frames that shows much of the person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

from engine.arkit import ARKIT_NAMES
from engine.errors import PhotoError
from engine.landmarker import Face, detect_faces
from engine.photos.decode import check_file, scale_down
from engine.photos.identity import embed
from engine.photos.preparation import sharpness
from engine.progress import Progress

CLIP_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"})
MATROSKA = b"\x1aE\xdf\xa3"  # and WebM
# Byte offset and signature of each container. FFmpeg would also follow a playlist that only pretends to be a clip.
SIGNATURES = (
    (4, (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, (MATROSKA, b"RIFF")),
)
MAX_CLIP_BYTES = 4_000_000_000
MAX_CANDIDATES = 80  # frames looked at when a spread of them is chosen
WIDEST_PIXEL = (0.25, 4.0)  # width over height; beyond, the container says nothing that can be meant
SEEK_GAP = 250  # frames, a usual distance of key frames; reading on is quicker than seeking over less
DETECT_SIDE = 640  # px, enough to judge pose and expression
SHARP_ENOUGH = 0.5  # of the candidates' median sharpness
ODD = 2.0  # robust deviations of a frame's mean SFace similarity to the others under which it is dropped
FRONTAL_SHARE = 0.2  # of the candidates, the most frontal and neutral ones
SCORE_WEIGHT = 0.5  # an expression score going from 0 to 1 counts as much as this rotation in radians
# [55] what does not count when a frame is judged frontal and neutral: where the eyes look.
GAZE = np.array([False] * 3 + [name.startswith("eyeLook") for name in ARKIT_NAMES])


def is_clip(path: Path) -> bool:
    """Whether the file's name says that it is a video clip."""
    return path.suffix.lower() in CLIP_SUFFIXES


def clip_length(path: Path) -> int:
    """Number of frames, counted where the container does not say, or says it by a frame rate that may be made up.

    Raises:
        PhotoError: the clip cannot be read.
    """
    capture = _open(path)
    try:
        stated = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if stated > 0 and not _is_matroska(path):
            return stated
        with suppress(RuntimeError, OSError):  # ffmpeg counts packets without decoding them
            return max(imageio_ffmpeg.count_frames_and_secs(str(path.resolve()))[0], 1)
        count = 0
        while capture.grab():
            count += 1
        return count
    finally:
        capture.release()


def clip_frames(path: Path, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Read frames of a clip, one at a time, in ascending order.

    Args:
        path: the clip.
        indices: frame numbers from 0, in any order. Numbers that the clip does not have are left out.

    Yields:
        The number and the frame, [H, W, 3] uint8 sRGB, upright, at most ``MAX_SIDE`` px on its longer side.

    Raises:
        PhotoError: the clip cannot be read.
    """
    capture = _open(path)
    try:
        stretch, seeks, at = _stretch(capture), not _is_matroska(path), 0
        for index in sorted(set(indices)):
            if seeks and index - at > SEEK_GAP:
                capture.set(cv2.CAP_PROP_POS_FRAMES, index)
                at = index
            while at < index and capture.grab():
                at += 1
            read, frame = capture.read()
            if not read:
                return
            at += 1
            yield index, _shown(frame, stretch)
    finally:
        capture.release()


def clip_stream(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Read a whole clip, one frame at a time.

    Yields:
        Seconds from the clip's beginning by its own clock, and the frame as :func:`clip_frames` gives it.

    Raises:
        PhotoError: the clip cannot be read.
    """
    capture = _open(path)
    try:
        stretch = _stretch(capture)
        while True:
            read, frame = capture.read()
            if not read:
                return
            yield capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3, _shown(frame, stretch)
    finally:
        capture.release()


def _shown(frame: np.ndarray, stretch: tuple[float, float]) -> np.ndarray:
    """[H, W, 3] uint8 sRGB, with square pixels and not too large, of OpenCV's [H, W, 3] BGR."""
    if stretch != (1, 1):
        frame = cv2.resize(frame, None, fx=stretch[0], fy=stretch[1], interpolation=cv2.INTER_LINEAR)
    return scale_down(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


def _stretch(capture: cv2.VideoCapture) -> tuple[float, float]:
    """How much wider and higher frames are shown than they are stored: pixels of DV and HDV are not square."""
    ratio = capture.get(cv2.CAP_PROP_SAR_NUM) / max(capture.get(cv2.CAP_PROP_SAR_DEN), 1)
    if not WIDEST_PIXEL[0] < ratio < WIDEST_PIXEL[1]:
        return 1, 1
    if int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180:  # frames come turned, the ratio is the stored one
        ratio = 1 / ratio
    return max(ratio, 1), max(1 / ratio, 1)


def _is_matroska(path: Path) -> bool:
    """Whether frames have times but no numbers there, so that neither a count nor a seek by number can be trusted."""
    with path.open("rb") as file:
        return file.read(len(MATROSKA)) == MATROSKA


def choose_frames(path: Path, count: int, progress: Progress, span: tuple[float, float] = (0.0, 1.0)) -> list[int]:
    """Choose frames that show the person in many poses and expressions.

    Looks at up to ``MAX_CANDIDATES`` frames and drops the blurred and those that look little like the rest (a hand over
    the face, a wrong detection). Of the frontal and neutral ones the one that looks most like all others is taken, then
    always the one that differs most from those taken (farthest-point sampling over head rotation and expression).

    Args:
        path: the clip.
        count: frames wanted; fewer are returned when the clip has not as many with a sharp face.
        progress: told how far it is.
        span: the part of the running stage that this takes, as fractions.

    Returns:
        Frame numbers, the neutral one first.

    Raises:
        PhotoError: the clip cannot be read, or no frame looked at shows a face.
    """
    length = clip_length(path)
    numbers = np.unique(np.linspace(0, length - 1, min(length, MAX_CANDIDATES)).round().astype(int))
    candidates: list[_Candidate] = []
    looked_at = 0
    for done, (index, frame) in enumerate(clip_frames(path, numbers.tolist())):
        looked_at += 1
        progress.update(span[0] + (span[1] - span[0]) * done / len(numbers))
        scale = min(1.0, DETECT_SIDE / max(frame.shape[:2]))
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        faces = detect_faces(small)
        if faces:
            face = max(faces, key=lambda other: other.height)
            candidates.append(_Candidate(index, face, sharpness(small, face), embed(small, face.landmarks)))
    if not candidates:
        raise PhotoError(
            f"No face found in {path.name}, of which {looked_at} frames were looked at.",
            "Use a clip in which the face is seen from the front, well lit and in focus.",
        )
    limit = SHARP_ENOUGH * float(np.median([candidate.sharpness for candidate in candidates]))
    candidates = [candidate for candidate in candidates if candidate.sharpness >= limit]
    embeddings = np.array([candidate.embedding for candidate in candidates])
    typical = (embeddings @ embeddings.T).mean(axis=1)
    spread = 1.4826 * np.median(np.abs(typical - np.median(typical)))
    kept = np.flatnonzero(typical >= np.median(typical) - ODD * spread)
    candidates, typical = [candidates[i] for i in kept], typical[kept]
    neutral = np.array([candidate.distance_from_neutral for candidate in candidates])
    features = np.array([candidate.features for candidate in candidates])
    taken = [int(np.argmax(np.where(neutral <= np.quantile(neutral, FRONTAL_SHARE), typical, -1.0)))]
    distances = np.linalg.norm(features - features[taken[0]], axis=1)
    while len(taken) < min(count, len(candidates)):
        taken.append(int(np.argmax(distances)))
        distances = np.minimum(distances, np.linalg.norm(features - features[taken[-1]], axis=1))
        distances[taken] = -1.0
    return [candidates[i].index for i in taken]


@dataclass(frozen=True)
class _Candidate:
    index: int
    face: Face
    sharpness: float
    embedding: np.ndarray

    @property
    def features(self) -> np.ndarray:
        """[55] rotation vector in radians and weighted scores."""
        return np.append(cv2.Rodrigues(self.face.rotation)[0], SCORE_WEIGHT * self.face.scores)

    @property
    def distance_from_neutral(self) -> float:
        return float(np.linalg.norm(np.where(GAZE, 0.0, self.features)))


def _open(path: Path) -> cv2.VideoCapture:
    check_file(path, MAX_CLIP_BYTES)
    with path.open("rb") as file:
        head = file.read(16)
    if any(head[offset : offset + len(mark)] == mark for offset, marks in SIGNATURES for mark in marks):
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if capture.isOpened():
            return capture
    raise PhotoError(
        f"{path.name} is not a video clip that can be read.",
        "Give an MP4, MOV, WebM, MKV or AVI clip, or export it again.",
    )
