"""Measures against scikit-image and closed forms; what lies outside a region must not count."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from engine.evaluation.metrics import (
    PSNR_CAP,
    ImageScores,
    Scores,
    Truth,
    image_scores,
    keypoint_distance,
    matte_iou,
    mean_scores,
    regions,
)
from engine.evaluation.reenactment import truth_of
from engine.evaluation.report import FrameReport, Report
from engine.perceptual import LPIPS
from engine.photos.photo import CROP, Photo


@pytest.fixture(scope="module")
def truth(toy_photo: Callable[..., Photo]) -> Truth:
    return truth_of(toy_photo(0))


def spoiled(image: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return (image + 0.1 * torch.randn(image.shape, generator=generator)).clamp(0, 1)


@pytest.mark.slow
def test_full_crop_equals_scikit_image(truth: Truth, lpips: LPIPS) -> None:
    everywhere = replace(truth, valid=torch.ones_like(truth.valid))
    target = everywhere.over(0.0)
    render = spoiled(target)
    measured = image_scores(render, target, regions(everywhere)["full"], 0.0, lpips)
    a, b = render.double().numpy(), target.double().numpy()
    assert measured.psnr == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1.0), abs=1e-4)
    expected = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=2
    )
    assert measured.ssim == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full", "head", "face"])
def test_pixels_outside_a_region_do_not_count(name: str, truth: Truth, lpips: LPIPS) -> None:
    region, target = regions(truth)[name], truth.over(1.0)
    render = spoiled(target)
    before = image_scores(render, target, region, 1.0, lpips)
    outside = torch.where(region.kept[..., None], render, torch.rand(render.shape))
    assert image_scores(outside, target, region, 1.0, lpips) == before
    inside = torch.where(region.kept[..., None], torch.rand(render.shape), render)
    after = image_scores(inside, target, region, 1.0, lpips)
    assert after.psnr < before.psnr and after.ssim < before.ssim and after.lpips > before.lpips


def test_regions_lie_where_they_should(truth: Truth) -> None:
    parts = regions(truth)
    chin = int(truth.landmarks[152, 1])
    assert not parts["full"].kept[:40].any() and parts["full"].kept[40:].all()
    assert parts["head"].kept[chin + 7].all() and not parts["head"].kept[chin + 8].any()
    face = parts["face"].kept.numpy()
    columns, rows = np.floor(truth.landmarks[:468]).astype(int).T
    assert face[rows, columns].all()
    assert face.any(0).sum() == np.ptp(columns) + 1 and face.any(1).sum() == np.ptp(rows) + 1


def test_face_psnr_is_not_diluted_by_the_background(truth: Truth, lpips: LPIPS) -> None:
    parts, target = regions(truth), truth.over(1.0)
    target = target * 0.5
    render = target + 0.1
    assert image_scores(render, target, parts["face"], 1.0, lpips).psnr == pytest.approx(20.0, abs=1e-3)
    share = parts["head"].kept.float().mean().item()
    diluted = 20.0 - 10 * math.log10(share)
    assert image_scores(render, target, parts["head"], 1.0, lpips).psnr == pytest.approx(diluted, abs=1e-3)


@pytest.mark.slow
def test_equal_images_reach_the_cap(truth: Truth, lpips: LPIPS) -> None:
    target = truth.over(1.0)
    for region in regions(truth).values():
        best = image_scores(target, target, region, 1.0, lpips)
        assert best.psnr == pytest.approx(PSNR_CAP) and best.ssim == pytest.approx(1.0)
        assert best.lpips == pytest.approx(0.0, abs=1e-9)


def test_matte_iou_of_two_boxes(truth: Truth) -> None:
    def box(left: int, top: int) -> torch.Tensor:
        alpha = torch.zeros(CROP, CROP)
        alpha[top : top + 100, left : left + 100] = 0.9
        return alpha

    boxed = replace(truth, alpha=box(100, 100))
    assert matte_iou(box(150, 100), boxed) == pytest.approx(50 / 150)
    assert matte_iou(box(100, 100), boxed) == 1.0
    assert matte_iou(box(300, 300), boxed) == 0.0
    # The rows above 40 are outside the photo: what a render shows there is nobody's fault.
    assert matte_iou(box(100, 0), replace(truth, alpha=box(100, 40))) == pytest.approx(60 / 100)


def test_keypoint_distance() -> None:
    points = np.random.default_rng(0).uniform(0, 512, (478, 2))
    assert keypoint_distance(points + (3, -4), points) == pytest.approx(5.0)


def test_what_could_not_be_measured_is_left_out_of_means_and_null_in_json() -> None:
    good = Scores({"full": ImageScores(20.0, 0.8, 0.2)}, iou=0.9, akd=3.0, csim=0.5, csim_source=float("nan"))
    lost = Scores({"full": ImageScores(10.0, 0.6, 0.4)}, 0.7, float("nan"), float("nan"), float("nan"), faces_missed=1)
    mean = mean_scores([good, lost])
    assert mean.regions["full"] == ImageScores(15.0, pytest.approx(0.7), pytest.approx(0.3))
    assert (mean.iou, mean.akd, mean.csim, mean.faces_missed) == (pytest.approx(0.8), 3.0, 0.5, 1)

    report = Report(mean, mean, good, 0.7, {"track": 1.0}, ("a",), (FrameReport("b", good, lost),), {})
    plain = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert plain["tracked"]["csim_source"] is None
    assert plain["frames"][0]["landmark"] == {
        "full": {"psnr": 10.0, "ssim": 0.6, "lpips": 0.4},
        "iou": 0.7,
        "akd": None,
        "csim": None,
        "csim_source": None,
        "faces_missed": 1,
    }
