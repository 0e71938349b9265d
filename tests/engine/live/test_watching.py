"""A camera's pictures, and a clip played as if live: the newest one is read, and what the actor does arrives."""

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from engine import assets
from engine.errors import EngineError
from engine.heads import load_head
from engine.live.filters import Settings
from engine.live.session import Session
from engine.live.sources import webcam
from engine.live.spec import Wish
from engine.live.watching import SIGHTS, Newest, Watcher
from engine.photos.decode import decode

SIDE, FRAMES = 384, 16


def tilt(frame: int) -> float:
    """Degrees that the picture, and with it the head, is turned to the subject's right."""
    return 15 * np.sin(2 * np.pi * frame / FRAMES)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """A portrait: held still, then tilted. What the head does is known, and the face does nothing."""
    portrait = decode(assets.path("samples/astronaut.png")).image[:SIDE, 32 : 32 + SIDE]
    turns = [cv2.getRotationMatrix2D((SIDE / 2, SIDE / 3), tilt(frame), 1.0) for frame in range(FRAMES)]
    tilted = [cv2.warpAffine(portrait, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE) for turn in turns]
    return [portrait] * SIGHTS + tilted


@pytest.mark.slow
def test_what_a_head_does_before_the_camera_arrives_at_once(pictures, monkeypatch):
    away = np.full_like(pictures[0], 90)
    every = [*pictures, away, pictures[-1]]
    waiting = iter(enumerate(every))
    monkeypatch.setattr(Newest, "_fetch", lambda newest, given: None)
    monkeypatch.setattr(Newest, "take", lambda newest, seconds: next(waiting, None))
    watcher = Watcher(iter(()), load_head())
    assert "at rest" in watcher.counts.problem
    said = [watcher.read(0.0) for _ in every]
    assert not any(said[:SIGHTS]) and not said[-2]
    seen = [sample for (sample,) in said[SIGHTS:-2]]
    expected = np.array([tilt(frame) for frame in range(FRAMES)])
    turned = np.degrees([sample.turns[0] - seen[0].turns[0] for sample in seen])
    assert np.abs(turned[:, 2] - expected).mean() < 1 and np.abs(turned[:, :2]).mean() < 3
    assert np.abs([sample.weights - seen[0].weights for sample in seen]).mean() < 0.03  # the face does nothing
    assert [sample.time for sample in seen] == [SIGHTS + frame for frame in range(FRAMES)]
    assert watcher.counts.dropped == 1 and said[-1] and watcher.counts.problem == ""


@pytest.mark.slow
def test_a_clip_plays_as_if_live_and_ends(pictures, tmp_path):
    path = tmp_path / "actor.mp4"
    writer = imageio_ffmpeg.write_frames(str(path), (SIDE, SIDE), fps=10, quality=9, macro_block_size=2)
    writer.send(None)
    for picture in pictures:
        writer.send(np.ascontiguousarray(picture))
    writer.close()
    session = Session(Wish("clip", target=str(path)), Settings())
    samples = 0
    while not session.state().ended:
        samples += session.step(0.1) is not None
    state = session.state()
    session.close()
    assert state.ended == "The clip is over." and not state.connected
    assert 0 < samples + state.dropped <= len(pictures) - SIGHTS  # what there was no time for is skipped
    (tmp_path / "broken.mp4").write_bytes(path.read_bytes()[:500])
    with pytest.raises(EngineError, match=r"broken\.mp4"):
        Session(Wish("clip", target=str(tmp_path / "broken.mp4")), Settings())


def test_only_the_newest_picture_is_read_and_a_decoders_fault_is_told():
    def pictures():
        for number in range(5):
            yield float(number), np.zeros((2, 2, 3), np.uint8)
        raise OSError("the cable is out")

    newest = Newest(pictures())
    newest._thread.join(10)
    assert newest.take(0.0)[0] == 4.0 and newest.skipped == 4 and newest.take(0.0) is None
    assert "the cable is out" in newest.ended
    newest.close()


class Camera:
    """OpenCV's, of which another program has the pictures."""

    opened, pictures, released = True, 0, 0

    def __init__(self, number: int):
        self.left = Camera.pictures

    def isOpened(self) -> bool:
        return Camera.opened

    def set(self, *_: object) -> None:
        pass

    def read(self):
        self.left -= 1
        return self.left >= 0, np.full((8, 8, 3), 7, np.uint8)

    def release(self) -> None:
        Camera.released += 1


@pytest.mark.parametrize(
    ("opened", "said"),
    [(False, "Camera 3 cannot be opened: it is missing"), (True, "Camera 3 gives no picture: another")],
)
def test_a_camera_that_is_missing_or_busy_is_told(opened, said, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(Camera, "opened", opened)
    before = Camera.released
    with pytest.raises(EngineError, match=said):
        webcam.SPEC.open(Wish("webcam", target="3"))
    assert Camera.released == before + 1
    with pytest.raises(EngineError, match="back is no camera. Give its number"):
        webcam.SPEC.open(Wish("webcam", target="back"))


def test_a_camera_that_goes_away_ends_and_is_given_back(monkeypatch):
    monkeypatch.setattr(Camera, "pictures", 3)
    before = Camera.released
    newest = Newest(webcam._pictures(Camera(0)))
    newest._thread.join(10)
    assert newest.take(0.0)[1].shape == (8, 8, 3) and "no pictures any more" in newest.ended
    assert Camera.released == before + 1
