"""The protocol with fake avatars whose errors are known, and the choice of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from engine.errors import PhotoError
from engine.evaluation.metrics import PSNR_CAP
from engine.evaluation.reenactment import Instruments, Sighting, reenact, truth_of
from engine.evaluation.run import APART, target_numbers
from engine.perceptual import LPIPS
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.rendering import Picture
from engine.tracking.tracked import View


def view(photo: Photo, shift: tuple[int, int]) -> View:
    """A view that carries a name and, in its principal point, by how many pixels the render shall miss."""
    K = np.eye(3)
    K[:2, 2] = shift
    return View(photo.name, np.eye(4), K, np.zeros(52), np.zeros((1, 3)), 0.0)


@dataclass
class Mirror:
    """An avatar that looks exactly like every photo it is shown, but misses by a given shift."""

    sources: Sequence[Photo]
    tracked_shift: tuple[int, int]
    landmark_shift: tuple[int, int]
    photos: dict[str, Photo] = field(default_factory=dict)

    @property
    def source_views(self) -> list[View]:
        return [self._see(photo, (0, 0)) for photo in self.sources]

    def drive_landmarks(self, photo: Photo) -> View:
        return self._see(photo, self.landmark_shift)

    def drive_photometric(self, photo: Photo, start: View) -> View:
        return self._see(photo, self.tracked_shift)

    def picture(self, view: View) -> Picture:
        truth = truth_of(self.photos[view.name])
        shift = tuple(int(s) for s in view.K[[1, 0], 2])
        return Picture(
            torch.roll(truth.image * truth.alpha[..., None], shift, (0, 1)), torch.roll(truth.alpha, shift, (0, 1))
        )

    def _see(self, photo: Photo, shift: tuple[int, int]) -> View:
        self.photos[photo.name] = photo
        return view(photo, shift)


def look(image: np.ndarray) -> Sighting | None:
    """A toy face finder: landmarks ride on the centre of what is not white; identity is the mean colour."""
    rows, columns = np.nonzero((image < 250).all(-1))
    if not len(rows):
        return None
    colour = image.reshape(-1, 3).mean(0)
    return Sighting(np.array([columns.mean(), rows.mean()]) + np.zeros((478, 1)), colour / np.linalg.norm(colour))


@pytest.fixture(scope="module")
def instruments(lpips: LPIPS) -> Instruments:
    return Instruments(lpips, look)


@pytest.mark.slow
def test_perfect_and_shifted_drives(toy_photo: Callable[..., Photo], instruments: Instruments) -> None:
    sources, targets = [toy_photo(0)], [toy_photo(number) for number in (10, 20)]
    seen: list[str] = []

    def reconstruct(photos: Sequence[Photo], progress: Progress) -> Mirror:
        progress.start("reconstruct")
        seen.extend(photo.name for photo in photos)
        return Mirror(photos, tracked_shift=(0, 0), landmark_shift=(6, 8))

    evaluation = reenact(sources, targets, reconstruct, instruments, Progress())
    report = evaluation.report
    assert seen == ["clip.mp4#0"]
    assert [frame.name for frame in report.frames] == [photo.name for photo in targets]
    for perfect in (report.tracked, report.source_view):
        for name in ("full", "head", "face", "full_black", "head_black", "face_black"):
            assert perfect.regions[name].psnr == pytest.approx(PSNR_CAP, abs=1e-3)
            assert perfect.regions[name].ssim == pytest.approx(1.0)
        assert (perfect.iou, perfect.akd, perfect.csim) == (1.0, 0.0, pytest.approx(1.0))
    missed = report.landmark
    assert missed.akd == pytest.approx(10.0, abs=0.3)  # 6, 8 px; rows that leave the photo are masked
    assert missed.iou < 0.97 and missed.regions["face"].psnr < 20 < report.tracked.regions["face"].psnr
    assert missed.regions["full"].lpips > 0.01
    assert list(report.seconds) == ["reconstruct", "drive by landmarks", "drive by photos", "measure"]
    assert [c.name for c in evaluation.comparisons] == [photo.name for photo in targets]
    torch.testing.assert_close(evaluation.comparisons[0].tracked, evaluation.comparisons[0].target)


@pytest.mark.slow
def test_renders_without_a_face_are_counted(toy_photo: Callable[..., Photo]) -> None:
    instruments = Instruments(lambda render, target: torch.zeros(1), look)  # type: ignore[arg-type]

    class Invisible(Mirror):
        def picture(self, view: View) -> Picture:
            seen = super().picture(view)
            gone = view.K[0, 2] > 0
            return Picture(torch.zeros_like(seen.rgb), torch.zeros_like(seen.alpha)) if gone else seen

    report = reenact(
        [toy_photo(0)], [toy_photo(9)], lambda photos, _: Invisible(photos, (0, 0), (1, 0)), instruments, Progress()
    ).report
    assert (report.tracked.faces_missed, report.landmark.faces_missed) == (0, 1)
    assert report.to_json()["landmark"]["akd"] is None
    assert report.landmark.iou == 0.0


def test_a_target_that_is_a_source_is_refused(toy_photo: Callable[..., Photo], instruments: Instruments) -> None:
    def refuse(photos: Sequence[Photo], progress: Progress) -> Mirror:
        raise AssertionError("nothing may be reconstructed from a leaking split")

    with pytest.raises(PhotoError, match="also a source"):
        reenact([toy_photo(3)], [toy_photo(4), toy_photo(3)], refuse, instruments, Progress())
    renamed = replace(toy_photo(3), name="copy.jpg"), replace(toy_photo(3), name="original.jpg")
    with pytest.raises(PhotoError, match=r"copy\.jpg is also a source \(original\.jpg\)"):
        reenact([renamed[1]], [renamed[0]], refuse, instruments, Progress())
    with pytest.raises(PhotoError, match="No usable target"):
        reenact([toy_photo(3)], [], refuse, instruments, Progress())


@pytest.mark.slow
@given(length=st.integers(1, 5000), wanted=st.integers(20, 40), sources=st.sets(st.integers(0, 4999), max_size=4))
def test_targets_never_are_sources_and_cover_the_clip(length: int, wanted: int, sources: set[int]) -> None:
    numbers = target_numbers(length, sorted(sources), wanted)
    assert numbers == sorted(set(numbers)) and len(numbers) <= wanted
    assert all(0 <= number < length for number in numbers)
    assert all(abs(number - source) >= APART for number in numbers for source in sources)
    if length >= wanted + 4 * (2 * APART - 1):
        assert len(numbers) == wanted
        assert numbers[0] <= 4 * (2 * APART - 1) and numbers[-1] >= length - 1 - 4 * (2 * APART - 1)
        assert np.diff(numbers).max() <= 2 * length / wanted + 4 * (2 * APART - 1)
