"""SSIM against scikit-image, LPIPS against lpips-jax, gradients against finite differences, hostile checkpoints."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from engine.errors import AssetError
from engine.perceptual import LPIPS
from engine.ssim import ssim_map


def scene(size: int = 96) -> np.ndarray:
    """[size, size, 3] float32, smooth colours in 0..1."""
    y, x = np.mgrid[0:size, 0:size] / size
    red, green = 0.5 + 0.5 * np.sin(9 * x + 4 * y * y), 0.5 + 0.5 * np.cos(13 * x * y + 2 * y)
    return np.stack([red, green, np.clip(1.3 * x - 0.4 * y, 0, 1)], -1).astype(np.float32)


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, 1, image.shape).astype(np.float32)
    return np.clip(image + sigma * noise, 0, 1)


def chw(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def lpips() -> LPIPS:
    return LPIPS()


def test_ssim_map_equals_scikit_image_up_to_the_border() -> None:
    a, b = scene().astype(np.float64)[:80], noisy(scene(), 0.1).astype(np.float64)[:80]
    _, expected = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=2, full=True
    )
    np.testing.assert_allclose(ssim_map(chw(a), chw(b))[0].permute(1, 2, 0).numpy(), expected, atol=1e-10)


@pytest.mark.slow
def test_ssim_gradient() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.rand(2, 1, 12, 9, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(ssim_map, (a, b))


# Computed with lpips-jax 0.1.0's own LPIPSEvaluator(net="alexnet") under jax, from the same images.
@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (noisy(scene(), 0.02), 0.027394458651542664),
        (noisy(scene(), 0.1), 0.3283592760562897),
        (np.roll(scene(), 6, 1), 0.17017865180969238),
        (scene()[::-1], 0.3957902193069458),
        (np.ones_like(scene()), 0.9460252523422241),
    ],
    ids=["noise 0.02", "noise 0.1", "shifted", "flipped", "white"],
)
def test_lpips_equals_lpips_jax(lpips: LPIPS, other: np.ndarray, expected: float) -> None:
    assert lpips(chw(scene()), chw(other)).item() == pytest.approx(expected, abs=2e-6)
    assert lpips(chw(other), lpips.features(chw(scene()))).item() == pytest.approx(expected, abs=2e-6)


def test_lpips_is_zero_for_equal_images_and_grows_with_noise(lpips: LPIPS) -> None:
    batch = torch.cat([chw(noisy(scene(), sigma)) for sigma in (0.0, 0.01, 0.03, 0.09, 0.27)])
    distances = lpips(batch, lpips.features(chw(scene())))
    assert distances.shape == (5,)
    assert distances[0] < 1e-12
    assert (distances.diff() > 0).all()


def test_lpips_gradient(lpips: LPIPS) -> None:
    image = chw(noisy(scene(), 0.1)).double().requires_grad_()
    double = LPIPS().double()
    direction = torch.randn(image.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad(double(image, chw(scene()).double()).sum(), image)
    with torch.no_grad():
        ahead, behind = (double(image + h * direction, chw(scene()).double()).sum() for h in (1e-6, -1e-6))
    assert (gradient * direction).sum().item() == pytest.approx((ahead - behind).item() / 2e-6, rel=1e-4)
    assert not any(p.requires_grad for p in lpips.parameters()) and not lpips.training


def test_lpips_gradient_stays_finite_where_all_features_vanish(lpips: LPIPS) -> None:
    silent = LPIPS()
    silent.bias4.fill_(-1e6)  # the last layer answers zero everywhere
    image = chw(noisy(scene(), 0.1)).requires_grad_()
    silent(image, chw(scene())).sum().backward()
    assert torch.isfinite(image.grad).all()


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("owned"),)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "content",
    [pickle.dumps(Hostile()), pickle.dumps({"AlexNet_0": 1}), pickle.dumps([1]), b"", b"PK\x03\x04 not a pickle"],
    ids=["hostile", "other keys", "a list", "empty", "a zip"],
)
def test_damaged_checkpoints_are_refused(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.ckpt").write_bytes(content)
    with pytest.raises(AssetError, match="damaged"):
        LPIPS(tmp_path / "weights.ckpt")
    assert not (tmp_path / "owned").exists()


def test_missing_checkpoint_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="build.py assets"):
        LPIPS(tmp_path / "absent.ckpt")
