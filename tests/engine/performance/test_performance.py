"""An actor before a camera: what is read off the clip fits any head, and what is not seen is not made up."""

import csv
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.spatial.transform import Rotation

from engine import assets
from engine.arkit import ARKIT_NAMES
from engine.cli import main
from engine.errors import Cancelled, PhotoError
from engine.heads import load_head
from engine.heads.parametric import JOINTS
from engine.performance import perform, write_take
from engine.performance.following import NOBODY, SOMEBODY_ELSE
from engine.performance.smoothing import smooth
from engine.photos.decode import decode
from engine.progress import Progress
from engine.synthetic.samples import act

pytestmark = pytest.mark.slow  # all of it waits for heads that are built once

SIDE, RATE, FRAMES = 384, 25, 36
JAW, BLINK = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("eyeBlinkLeft")
BLINKS = {25: 0.6, 26: 1.0, 27: 0.6}
EMPTY, OTHER = range(12, 17), range(24, 36)  # frames of the second clip without anybody, and with somebody else


def turned(frame: int) -> float:
    """Radians that the actor looks to their left."""
    return 0.35 * np.sin(2 * np.pi * max(frame - 4, 0) / 32)


def opened(frame: int) -> float:
    return 0.8 * np.exp(-(((frame - 14) / 3) ** 2))


def write_clip(path: Path, frames: list[np.ndarray], rate: float = RATE) -> Path:
    writer = imageio_ffmpeg.write_frames(str(path), frames[0].shape[1::-1], fps=rate, quality=9, macro_block_size=2)
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """A synthetic actor: at rest, then jaw and turn, then a blink of three frames."""
    instants = []
    for frame in range(FRAMES):
        weights, turns = np.zeros(len(ARKIT_NAMES)), np.zeros((len(JOINTS), 3))
        weights[JAW] = opened(frame)
        for name in ("eyeBlinkLeft", "eyeBlinkRight"):
            weights[ARKIT_NAMES.index(name)] = BLINKS.get(frame, 0.0)
        turns[JOINTS.index("head"), 1] = turned(frame)
        instants.append((weights, turns))
    pictures = act(3, instants, SIDE, directions=[(0.0, 0.0)] * FRAMES).rgb
    return [(picture.clip(0, 1) * 255).round().astype(np.uint8) for picture in pictures]


@pytest.fixture(scope="module")
def clip(frames, tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "actor.mp4", frames)


@pytest.fixture(scope="module")
def take(clip):
    return perform(clip, load_head(), Progress())


def test_what_the_actor_does_is_what_the_take_says(take):
    assert take.frames == len(take.times) == FRAMES and take.rate == pytest.approx(RATE)
    assert not take.gaps and (take.confidence > 0.8).all()
    at = np.arange(FRAMES)
    assert take.times == pytest.approx(at / RATE, abs=1e-3)
    jaw = np.array([opened(frame) for frame in at])
    assert np.corrcoef(take.weights[:, JAW], jaw)[0, 1] > 0.95
    assert take.weights[:, JAW].max() > 0.4
    yaw = np.array([turned(frame) for frame in at])
    assert np.degrees(np.abs(take.head[:, 1] - yaw)).mean() < 2
    assert np.degrees(np.abs(take.head[:, [0, 2]])).mean() < 4


def test_a_blink_of_three_frames_keeps_its_height(take):
    assert take.weights[24:29, BLINK].max() > 0.85
    assert take.weights[:20, BLINK].max() < 0.5


def test_at_rest_the_head_rests(take):
    assert take.weights[:6].mean() < 0.03
    assert np.degrees(np.abs(take.left_eye[:6, :2])).mean() < 3


def test_as_filmed_keeps_the_resting_face(clip, take):
    raw = perform(clip, load_head(), Progress(), strength=0, neutral=False)
    assert raw.weights[:6].mean() > take.weights[:6].mean()


def test_where_the_actor_is_not_seen_nothing_is_said_and_the_report_says_where(frames, tmp_path):
    other = decode(assets.path("samples/astronaut.png")).image
    other = other[:SIDE, 64 : 64 + SIDE]
    shown = list(frames)
    for frame in EMPTY:
        shown[frame] = np.full_like(frames[0], 90)
    for frame in OTHER:
        shown[frame] = other
    take = perform(write_clip(tmp_path / "cut.mp4", shown), load_head(), Progress())
    seen = set(np.round(take.times * RATE).astype(int))
    assert seen == set(range(FRAMES)) - set(EMPTY) - set(OTHER)
    first, second = take.gaps
    assert (first.reason, second.reason) == (NOBODY, SOMEBODY_ELSE)
    assert (first.start, first.end) == pytest.approx((EMPTY[0] / RATE, (EMPTY[-1] + 1) / RATE), abs=1e-3)
    assert second.start == pytest.approx(OTHER[0] / RATE, abs=1e-3)


def test_uneven_frames_keep_their_times(clip, tmp_path):
    """A phone that drops five frames: the rest stay where they were."""
    uneven = tmp_path / "uneven.mkv"
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", clip, "-vf", "select=not(between(n\\,8\\,12))"]
    subprocess.run([*words, "-fps_mode", "vfr", uneven], check=True)
    take = perform(uneven, load_head(), Progress())
    expected = [frame / RATE for frame in range(FRAMES) if not 8 <= frame <= 12]
    assert take.times == pytest.approx(expected, abs=2e-3)


def test_three_frames_are_a_take(frames, tmp_path):
    take = perform(write_clip(tmp_path / "short.mp4", frames[:3]), load_head(), Progress())
    assert len(take.times) == 3 and np.isfinite(take.weights).all()


def test_clips_without_an_actor_are_refused_by_name(frames, clip, tmp_path):
    blank = write_clip(tmp_path / "blank.mp4", [np.full_like(frames[0], 120)] * 5)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:2000])
    for path, said in (
        (blank, "No face found in blank.mp4"),
        (broken, "broken.mp4"),
        (tmp_path / "none.mp4", "none.mp4"),
    ):
        with pytest.raises(PhotoError, match=said):
            perform(path, load_head(), Progress())


def test_it_can_be_cancelled(clip):
    with pytest.raises(Cancelled):
        perform(clip, load_head(), Progress(is_cancelled=lambda: True))


def test_the_command_writes_a_table_that_other_programs_read(clip, take, tmp_path, capsys):
    path = tmp_path / "take.csv"
    assert main(["perform", str(clip), "-o", str(path), "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == FRAMES and report["gaps"] == [] and "cheekPuff" in report["notes"][-1]
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert [float(row["JawOpen"]) for row in rows] == pytest.approx(take.weights[:, JAW], abs=1e-5)
    assert [float(row["HeadYaw"]) for row in rows] == pytest.approx(take.head[:, 1], abs=1e-5)
    assert main(["perform", str(clip), "-o", str(tmp_path / "take.txt")]) != 0
    assert main(["perform", str(clip), "-o", str(path), "--smoothing", "nan"]) != 0


def test_a_full_disk_leaves_the_old_take(take, tmp_path, monkeypatch):
    path = tmp_path / "take.csv"
    write_take(take, path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csv, "writer", full)
    with pytest.raises(Exception, match="disk is full"):
        write_take(replace(take, weights=take.weights * 0), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1))
def test_smoothing_takes_the_tremble_and_leaves_a_blink_and_the_time_of_it(seed, strength):
    times = np.arange(100) / 30
    rng = np.random.default_rng(seed)
    truth = np.zeros((100, 1))
    truth[50:53, 0] = (0.6, 1.0, 0.6)
    seen = truth + rng.normal(0, 0.01, truth.shape)
    kept = smooth(times, seen, strength)
    assert kept[49:54].max() > 0.85 and kept.argmax() in (50, 51, 52)
    still = slice(5, 40)
    assert np.diff(kept[still], 2, axis=0).std() <= np.diff(seen[still], 2, axis=0).std()
    if strength > 0.4:
        assert np.diff(kept[still], 2, axis=0).std() < 0.004
    assert np.array_equal(smooth(times, seen, 0.0), seen)


def test_a_head_turned_twice_around_does_not_jump(take):
    """Angles are unwrapped: from one frame to the next nobody turns by half a circle."""
    assert np.abs(np.diff(take.head, axis=0)).max() < 0.5
    assert Rotation.from_euler("xyz", take.head).magnitude().max() < 1
