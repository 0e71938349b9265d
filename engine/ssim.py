"""Structural similarity, with compiled code and a gradient by hand where tensors are in the CPU's memory."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import torch

from engine.kernels import njit

SIGMA = 1.5  # px; window, sigma and constants of Wang et al. 2004, "Image quality assessment"
RADIUS = 5  # px, hence 11 taps
TAPS = 2 * RADIUS + 1
C1 = 0.01**2  # (K1 · data range)², range 1
C2 = 0.03**2

_weights = [math.exp(-0.5 * (k / SIGMA) ** 2) for k in range(-RADIUS, RADIUS + 1)]
GAUSSIAN = tuple(weight / sum(_weights) for weight in _weights)
WEIGHTS = np.array(GAUSSIAN, np.float32)


def ssim_map(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Structural similarity per pixel and channel (Wang et al. 2004): 11×11 Gaussian of sigma 1.5, data range 1.

    Images are continued past their border by mirroring with the edge pixel repeated (``c b a | a b c``), so that the
    map has the images' size and equals ``skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, full=True)`` everywhere, border included.

    Args:
        a: [B, C, H, W] in 0..1, H and W at least 5.
        b: [B, C, H, W], the same shape.

    Returns:
        [B, C, H, W] in -1..1, differentiable in both.
    """
    if all(x.device.type == "cpu" and x.dtype == torch.float32 for x in (a, b)):
        return _Similarity.apply(a, b)  # type: ignore[return-value]
    return _composed(a, b)


def _composed(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The same of torch's operations, for other devices and types."""
    channels = a.shape[1]
    # The two variances occur only as their sum, so four blurred fields do instead of five.
    mean_a, mean_b, square, product = _blur(torch.cat([a, b, a * a + b * b, a * b], 1)).split(channels, 1)
    means_product = mean_a * mean_b
    means_square = mean_a * mean_a + mean_b * mean_b
    luminance = (2 * means_product + C1) / (means_square + C1)
    return luminance * (2 * (product - means_product) + C2) / (square - means_square + C2)


def _blur(x: torch.Tensor) -> torch.Tensor:
    """Blur [B, C, H, W] with the window, by sums of shifted slices."""
    for dim in (3, 2):
        size = x.shape[dim]
        ends = x.narrow(dim, 0, RADIUS).flip(dim), x.narrow(dim, size - RADIUS, RADIUS).flip(dim)
        padded = torch.cat([ends[0], x, ends[1]], dim)
        x = GAUSSIAN[0] * padded.narrow(dim, 0, size)
        for k in range(1, TAPS):
            x = torch.add(x, padded.narrow(dim, k, size), alpha=GAUSSIAN[k])
    return x


class _Similarity(torch.autograd.Function):
    """Fields are [4, P, H, W], of P planes each: the means of a and b, of a² + b², and of a b."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        planes = [x.detach().reshape(-1, *x.shape[-2:]).contiguous().numpy() for x in (a, b)]
        fields = np.empty((4, *planes[0].shape), np.float32)
        _multiply(*planes, fields)
        blurred, out = np.empty_like(fields), np.empty_like(planes[0])
        _blur_rows(_flat(fields), WEIGHTS, _flat(blurred))
        _compare(blurred, out)
        ctx.kept = planes, blurred
        return torch.from_numpy(out).view(a.shape)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (a, b), blurred = ctx.kept
        grad = grads[0].reshape(a.shape).contiguous().numpy()
        fields, pulled = np.empty_like(blurred), np.empty_like(blurred)
        _differentiate(blurred, grad, fields)
        _pull_rows(_flat(fields), WEIGHTS, _flat(pulled))
        found = []
        for needed, own, other, mean in zip(ctx.needs_input_grad, (a, b), (b, a), pulled[:2], strict=True):
            out = np.empty_like(own) if needed else None
            if out is not None:
                _collect(own, other, mean, pulled[2], pulled[3], out)
            found.append(None if out is None else torch.from_numpy(out).view(grads[0].shape))
        return tuple(found)


def _flat(fields: np.ndarray) -> np.ndarray:
    return fields.reshape(-1, *fields.shape[-2:])


@njit(parallel=True, fastmath=True, nogil=True)
def _multiply(a, b, fields):
    count, height, width = a.shape
    for place in numba.prange(count * height):
        plane, y = place // height, place % height
        for x in range(width):
            one, other = a[plane, y, x], b[plane, y, x]
            fields[0, plane, y, x] = one
            fields[1, plane, y, x] = other
            fields[2, plane, y, x] = one * one + other * other
            fields[3, plane, y, x] = one * other


@njit(parallel=True, nogil=True)
def _compare(fields, out):
    count, height, width = out.shape
    c1, c2, two = np.float32(C1), np.float32(C2), np.float32(2)
    for place in numba.prange(count * height):
        plane, y = place // height, place % height
        for x in range(width):
            mean_a, mean_b = fields[0, plane, y, x], fields[1, plane, y, x]
            product, square = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
            above = (two * product + c1) * (two * (fields[3, plane, y, x] - product) + c2)
            out[plane, y, x] = above / ((square + c1) * (fields[2, plane, y, x] - square + c2))


@njit(parallel=True, nogil=True)
def _differentiate(fields, grad, out):
    """The gradient of :func:`_compare` in its fields, times ``grad`` [P, H, W]."""
    count, height, width = grad.shape
    c1, c2, one, two = np.float32(C1), np.float32(C2), np.float32(1), np.float32(2)
    for place in numba.prange(count * height):
        plane, y = place // height, place % height
        for x in range(width):
            mean_a, mean_b = fields[0, plane, y, x], fields[1, plane, y, x]
            product, square = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
            luminance, contrast = two * product + c1, two * (fields[3, plane, y, x] - product) + c2
            below_l, below_c = one / (square + c1), one / (fields[2, plane, y, x] - square + c2)
            g = two * grad[plane, y, x] * below_l * below_c
            across = g * (contrast - luminance)
            along = g * luminance * contrast * (below_c - below_l)
            out[0, plane, y, x] = mean_b * across + mean_a * along
            out[1, plane, y, x] = mean_a * across + mean_b * along
            out[2, plane, y, x] = np.float32(-0.5) * g * luminance * contrast * below_c
            out[3, plane, y, x] = g * luminance


@njit(parallel=True, fastmath=True, nogil=True)
def _collect(own, other, mean, square, product, out):
    count, height, width = out.shape
    for place in numba.prange(count * height):
        plane, y = place // height, place % height
        for x in range(width):
            value = mean[plane, y, x] + np.float32(2) * own[plane, y, x] * square[plane, y, x]
            out[plane, y, x] = value + other[plane, y, x] * product[plane, y, x]


@njit(parallel=True, fastmath=True, nogil=True)
def _blur_rows(planes, weights, out):
    """Every row of ``out`` [P, H, W] by itself: down the columns into a row with both ends mirrored, then along it."""
    count, height, width = planes.shape
    for place in numba.prange(count * height):
        plane, y = place // height, place % height
        row = np.zeros(width + 2 * RADIUS, np.float32)
        for k in range(TAPS):
            source = y + k - RADIUS
            source = -1 - source if source < 0 else 2 * height - 1 - source if source >= height else source
            weight = weights[k]
            for x in range(width):
                row[RADIUS + x] += weight * planes[plane, source, x]
        for x in range(RADIUS):
            row[RADIUS - 1 - x] = row[RADIUS + x]
            row[RADIUS + width + x] = row[RADIUS + width - 1 - x]
        for x in range(width):
            total = np.float32(0)
            for k in range(TAPS):
                total += weights[k] * row[x + k]
            out[plane, y, x] = total


@njit(parallel=True, fastmath=True, nogil=True)
def _pull_rows(planes, weights, out):
    """:func:`_blur_rows`' adjoint. Place p of a padded line, p = 0 … size + 9, gives to p - 5 or where that mirrors."""
    count, height, width = planes.shape
    wide = width + 2 * RADIUS
    for place in numba.prange(count * height):
        plane, y = place // height, place % height
        row = np.zeros(wide + 2 * RADIUS, np.float32)  # with ten zeros at either end
        for mirror in range(3):
            padded = y + RADIUS if mirror == 0 else RADIUS - 1 - y if mirror == 1 else 2 * height + RADIUS - 1 - y
            if padded < 0 or padded >= height + 2 * RADIUS:
                continue
            for k in range(TAPS):
                source = padded - k
                if 0 <= source < height:
                    weight = weights[k]
                    for x in range(width):
                        row[2 * RADIUS + x] += weight * planes[plane, source, x]
        spread = np.empty(wide, np.float32)
        for x in range(wide):
            total = np.float32(0)
            for k in range(TAPS):
                total += weights[k] * row[x + 2 * RADIUS - k]
            spread[x] = total
        for x in range(width):
            out[plane, y, x] = spread[x + RADIUS]
        for x in range(RADIUS):
            out[plane, y, x] += spread[RADIUS - 1 - x]
            out[plane, y, width - 1 - x] += spread[width + RADIUS + x]
