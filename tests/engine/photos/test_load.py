"""Files and clips in, one person's photos out; what cannot be used is named and the rest goes on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from engine.errors import Cancelled, PhotoError
from engine.landmarker import detect_faces
from engine.photos import clip_frames, clip_length, load_photos
from engine.photos.clips import choose_frames, is_clip
from engine.photos.landmarks import find_face
from engine.photos.load import MAX_PHOTOS
from engine.photos.preparation import sharpness
from engine.progress import Progress

Paths = Callable[[str], Path]


@pytest.mark.slow
def test_broken_photos_are_set_aside_and_the_others_go_on(tmp_path: Path, sample_path: Paths):
    text, missing = tmp_path / "text.jpg", tmp_path / "missing.jpg"
    text.write_text("I am no photo.")
    hills = tmp_path / "hills.png"
    cv2.imwrite(str(hills), np.full((300, 400, 3), 90, np.uint8))
    heard: list[float] = []
    progress = Progress(on_update=lambda stage, fraction: heard.append(fraction))
    progress.start("photos")
    result = load_photos([text, sample_path("person_a_2.jpg"), missing, hills, sample_path("person_b_1.jpg")], progress)
    assert [photo.name for photo in result.photos] == ["person_a_2.jpg"]
    assert result.photos[0].sha256.startswith("661947067cff")
    reasons = {photo.name: photo.reason for photo in result.set_aside}
    assert set(reasons) == {"text.jpg", "missing.jpg", "hills.png", "person_b_1.jpg"}
    assert "is not an image" in reasons["text.jpg"]
    assert "does not exist" in reasons["missing.jpg"]
    assert "No face found in hills.png" in reasons["hills.png"]
    assert "another person" in reasons["person_b_1.jpg"]
    assert heard == sorted(heard)
    assert heard[-1] == 1


def test_nothing_usable_lists_every_reason(tmp_path: Path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.mp4").write_text("#EXTM3U\n" + "I am no clip. " * 9)
    with pytest.raises(PhotoError, match=r"No photo can be used.*empty.jpg is empty.*text.mp4 is not a video clip"):
        load_photos([tmp_path / "empty.jpg", tmp_path / "text.mp4"], Progress())
    with pytest.raises(PhotoError, match="None was given"):
        load_photos([], Progress())
    with pytest.raises(PhotoError, match=f"at most {MAX_PHOTOS} are used"):
        load_photos([tmp_path / "empty.jpg"] * (MAX_PHOTOS + 1), Progress())
    with pytest.raises(PhotoError, match="Ask for at least 1"):
        load_photos([tmp_path / "text.mp4"], Progress(), frames=0)


def test_cancel_stops_between_photos(sample_path: Paths):
    with pytest.raises(Cancelled):
        load_photos([sample_path("single_face.mp4")], Progress(is_cancelled=lambda: True))


@pytest.mark.slow
def test_clip_gives_frames_of_one_person(sample_path: Paths):
    result = load_photos([sample_path("single_face.mp4")], Progress(), frames=3)
    assert len(result.photos) == 3
    assert result.set_aside == ()
    assert len({photo.name for photo in result.photos}) == 3
    for photo in result.photos:
        name, number = photo.name.split("#")
        assert name == "single_face.mp4"
        assert 0 <= int(number) < 72
        assert photo.sha256.startswith("95ee1a41bfd0")


def test_frames_read_by_number_are_the_frames_in_order(sample_path: Paths):
    path = sample_path("cap13.mp4")
    capture = cv2.VideoCapture(str(path))
    wanted = {0, 7, 71, 330}
    expected = {i: capture.read()[1][..., ::-1] for i in range(331)}
    got = dict(clip_frames(path, [330, 7, 0, 71, 10**6]))
    assert set(got) == wanted
    for index in wanted:
        np.testing.assert_array_equal(got[index], expected[index])
    assert clip_length(path) == 765


@pytest.mark.slow
def test_chosen_frames_spread_and_start_neutral(sample_path: Paths):
    """Farthest-point sampling shows more of the clip than evenly spaced frames, and starts frontal with open eyes."""
    path = sample_path("pexels.mp4")
    chosen = choose_frames(path, 6, Progress())
    assert len(set(chosen)) == 6
    even = np.linspace(0, clip_length(path) - 1, 6).astype(int).tolist()
    faces = {i: (frame, detect_faces(frame)[0]) for i, frame in clip_frames(path, chosen + even)}

    def nearest_pair(indices: list[int]) -> float:
        features = [np.append(cv2.Rodrigues(faces[i][1].rotation)[0], faces[i][1].scores / 2) for i in indices]
        return min(np.linalg.norm(a - b) for n, a in enumerate(features) for b in features[:n])

    assert nearest_pair(chosen) > 1.2 * nearest_pair(even)
    turns = [np.linalg.norm(cv2.Rodrigues(faces[i][1].rotation)[0]) for i in chosen]
    assert turns[0] < np.radians(20)
    assert faces[chosen[0]][1].scores[[8, 9]].max() < 0.4  # eyeBlink
    usual = np.median([sharpness(*value) for value in faces.values()])
    assert min(sharpness(*faces[i]) for i in chosen) > 0.3 * usual


def test_suffix_tells_clips_from_photos():
    assert is_clip(Path("a.MP4"))
    assert not is_clip(Path("a.heic"))


def test_clip_frame_is_as_good_as_a_photo(sample_path: Paths):
    ((_, frame),) = clip_frames(sample_path("cap12.mp4"), [600])
    assert find_face(frame, "cap12.mp4#600").face.height > 80


@pytest.mark.slow
def test_photos_of_one_name_are_told_apart(tmp_path: Path, sample_path: Paths):
    for folder, sample in (("a", "person_a_2.jpg"), ("b", "person_a_1.jpg")):
        (tmp_path / folder).mkdir()
        shutil.copy(sample_path(sample), tmp_path / folder / "photo.jpg")
    paths = [tmp_path / "a" / "photo.jpg", tmp_path / "b" / "photo.jpg", tmp_path / "a" / "photo.jpg"]
    loaded = load_photos(paths, Progress())
    assert [photo.name for photo in loaded.photos] == ["a/photo.jpg", "b/photo.jpg", "a/photo.jpg (2)"]


def _encode(source: Path, target: Path, *words: str) -> Path:
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-v", "error", "-y", "-i", source, "-an", *words, target], check=True)
    return target


def test_a_clip_whose_pixels_are_not_square_is_shown_as_it_was_filmed(tmp_path: Path, sample_path: Paths):
    """As DV, HDV and AVCHD store it; a turned phone's video that is squeezed as well."""
    clip = sample_path("single_face.mp4")
    _, plain = next(clip_frames(clip, [0]))
    height, width = plain.shape[:2]
    squeeze = f"scale={2 * (width * 3 // 8)}:{height},setsar=4/3"
    squeezed = _encode(clip, tmp_path / "dv.mp4", "-vf", squeeze, "-c:v", "libx264", "-crf", "14", "-t", "1")
    _, frame = next(clip_frames(squeezed, [0]))
    assert frame.shape[1] / frame.shape[0] == pytest.approx(width / height, rel=0.01)
    program = imageio_ffmpeg.get_ffmpeg_exe()
    turned = tmp_path / "turned.mp4"
    words = ["-v", "error", "-y", "-display_rotation", "90", "-i", squeezed, "-c", "copy", turned]
    subprocess.run([program, *words], check=True)
    _, frame = next(clip_frames(turned, [0]))
    assert frame.shape[0] / frame.shape[1] == pytest.approx(width / height, rel=0.01)


@pytest.mark.slow
def test_a_recording_with_a_made_up_frame_rate_is_looked_at_as_a_whole(tmp_path: Path, sample_path: Paths):
    """Browsers write WebM that claims 1000 frames a second, and so many times as many frames as it has."""
    clip = sample_path("single_face.mp4")
    words = ["-vf", "settb=1/1000,setpts=N*66,fps=1000,select='not(mod(n\\,66))'", "-fps_mode", "passthrough"]
    words += ["-frames:v", "60", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M"]
    recorded = _encode(clip, tmp_path / "recorded.webm", *words)
    length = clip_length(recorded)
    assert 55 <= length <= 66
    numbers = [number for number, _ in clip_frames(recorded, range(0, length, 6))]
    assert len(numbers) >= 9
