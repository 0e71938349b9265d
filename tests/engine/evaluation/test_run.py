"""The two doors of ``evaluate`` on real photos and a real clip, with a blank avatar in place of a reconstruction."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine import assets
from engine.errors import PhotoError
from engine.evaluation import run
from engine.evaluation.reenactment import Instruments
from engine.evaluation.subject import make_instruments
from engine.photos.photo import CROP, Photo
from engine.pipeline import Options
from engine.progress import Progress
from engine.rendering import Picture
from engine.tracking.tracked import View


@dataclass(frozen=True)
class Blank:
    """An avatar of which nothing is seen."""

    source_views: Sequence[View]

    def drive_landmarks(self, photo: Photo) -> View:
        return View(photo.name, np.eye(4), np.eye(3), np.zeros(52), np.zeros((5, 3)), 0.0)

    def drive_photometric(self, photo: Photo, start: View) -> View:
        return start

    def picture(self, view: View) -> Picture:
        return Picture(torch.zeros(CROP, CROP, 3), torch.zeros(CROP, CROP))


@pytest.fixture
def reconstructed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all photos that reach the reconstruction."""
    names: list[str] = []

    def reconstruct(sources: Sequence[Photo], options: Options, progress: Progress) -> Blank:
        names.extend(photo.name for photo in sources)
        return Blank([Blank([]).drive_landmarks(photo) for photo in sources])

    def quick_instruments() -> Instruments:
        return Instruments(lambda render, target: torch.zeros(1), look)  # type: ignore[arg-type]

    look = make_instruments().look
    monkeypatch.setattr(run, "reconstruct_subject", reconstruct)
    monkeypatch.setattr(run, "make_instruments", quick_instruments)
    monkeypatch.setattr(run, "SPARE", 1)
    return names


@pytest.mark.slow
def test_a_ready_made_split(reconstructed: list[str], tmp_path: Path) -> None:
    for folder, photos in (("sources", ["person_a_1.jpg"]), ("targets", ["person_a_2.jpg", "person_b_1.jpg"])):
        (tmp_path / folder).mkdir()
        for photo in photos:
            shutil.copy(assets.path(f"samples/{photo}"), tmp_path / folder)
    (tmp_path / "targets" / "broken.jpg").write_bytes(b"no photo")
    (tmp_path / "targets" / ".hidden").write_bytes(b"a file manager's")
    report = run.evaluate_split(tmp_path / "sources", tmp_path / "targets", Options(), Progress()).report
    assert reconstructed == ["person_a_1.jpg"]
    # Nothing is set aside for showing somebody else: the split is the user's.
    assert [frame.name for frame in report.frames] == ["person_a_2.jpg", "person_b_1.jpg"]
    assert list(report.set_aside) == ["broken.jpg"]
    plain = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert plain["landmark"]["iou"] == 0.0 and plain["landmark"]["faces_missed"] == 2
    assert 0.1 < plain["csim_real"] < 0.6  # the mean of one same and one other person
    assert 3 < plain["tracked"]["full"]["psnr"] < 15


@pytest.mark.slow
def test_a_split_that_leaks_is_refused(reconstructed: list[str], tmp_path: Path) -> None:
    for place in ("sources/person.jpg", "targets/renamed.jpg"):
        (tmp_path / place).parent.mkdir()
        shutil.copy(assets.path("samples/person_a_1.jpg"), tmp_path / place)
    with pytest.raises(PhotoError, match="also a source"):
        run.evaluate_split(tmp_path / "sources", tmp_path / "targets", Options(), Progress())
    with pytest.raises(PhotoError, match="is not a folder"):
        run.evaluate_split(tmp_path / "absent", tmp_path / "targets", Options(), Progress())
    assert not reconstructed


@pytest.mark.slow
def test_a_clip(reconstructed: list[str]) -> None:
    report = run.evaluate_clip(assets.path("samples/single_face.mp4"), 1, 4, Options(), Progress()).report
    source, *targets = (int(name.partition("#")[2]) for name in (*reconstructed, *(f.name for f in report.frames)))
    assert len(reconstructed) == 1 and len(targets) == 4
    assert all(abs(target - source) >= run.APART for target in targets)
    assert max(targets) - min(targets) > 60  # of 72 frames
    assert report.csim_real > 0.6


def test_the_same_face_measures_as_the_same() -> None:
    with Image.open(assets.path("samples/astronaut.png")) as opened:
        image = np.array(opened.convert("RGB"))
    look = make_instruments().look
    here, moved = look(image), look(np.roll(image, (6, 8), (0, 1)))
    assert here is not None and moved is not None
    assert np.linalg.norm(moved.landmarks - here.landmarks, axis=1).mean() == pytest.approx(10.0, abs=1.0)
    assert moved.embedding @ here.embedding > 0.95
    assert look(np.full((512, 512, 3), 255, np.uint8)) is None
