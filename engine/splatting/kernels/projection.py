"""Numba kernels that project Gaussians to one pinhole camera, and their analytic gradient.

Arithmetic is float64 in registers: it costs nothing here and keeps needles and huge splats exact.
"""

import math

import numpy as np
from numba import prange

from engine.kernels import njit
from engine.splatting.kernels.constants import ALPHA_MIN, EPS2D, FAR_PLANE, FRUSTUM_MARGIN

FLAGS = {"reassoc", "contract", "arcp", "nsz"}
"""Fast-math without the licence to assume that no NaN or infinity occurs."""

X, Y, WHITEN_XX, WHITEN_XY, WHITEN_YY, OPACITY, RED, GREEN, BLUE, DEPTH, SPLAT = range(11)
"""Columns of a projected splat, and their count. Whitening maps a pixel offset d to (u, v) = [[XX, XY], [0, YY]] d, so
that the splat's alpha there is OPACITY · 2^-(u² + v²)."""

G_ALPHA, G_U, G_V, G_UU, G_UV, G_VV, G_RED, G_GREEN, G_BLUE, G_DEPTH, GRADIENT = range(11)
"""Columns of a splat's gradient within one tile, and their count: with h = alpha · dL/dalpha the sums of h, h u, h v,
h u², h u v, h v² over pixels, then the gradients of colour and depth."""

FX, FY, CX, CY, WIDTH, HEIGHT = range(6)
"""Entries of a lens: a pinhole camera's intrinsics and image size in pixels."""

WHITEN = math.sqrt(0.5 * math.log2(math.e))
LN2 = math.log(2.0)
BLOCKS = 64
"""Parts in which gradients of the camera are summed; fixed, so that sums do not depend on the number of threads."""


@njit(fastmath=FLAGS, error_model="numpy")
def _rotation(w, x, y, z):
    """Nine entries, row by row, of the rotation of a unit quaternion."""
    return (
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
        2.0 * (x * y + w * z),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z - w * x),
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        1.0 - 2.0 * (x * x + y * y),
    )


@njit(fastmath=FLAGS, error_model="numpy")
def _clamped_slope(slope, focal, centre, size):
    """A ray's slope x/z, kept within the image and its margin, and whether it was within."""
    margin = FRUSTUM_MARGIN * 0.5 * size / focal
    high = (size - centre) / focal + margin
    low = -centre / focal - margin
    return min(max(slope, low), high), low <= slope <= high


@njit(fastmath=FLAGS, error_model="numpy")
def _project_one(g, means, quats, scales, opacities, colors, camera, lens, near, splats, rects, radii):
    opacity = np.float64(opacities[g])
    mx, my, mz = np.float64(means[g, 0]), np.float64(means[g, 1]), np.float64(means[g, 2])
    x = camera[0, 0] * mx + camera[0, 1] * my + camera[0, 2] * mz + camera[0, 3]
    y = camera[1, 0] * mx + camera[1, 1] * my + camera[1, 2] * mz + camera[1, 3]
    z = camera[2, 0] * mx + camera[2, 1] * my + camera[2, 2] * mz + camera[2, 3]
    if not (near <= z <= FAR_PLANE and opacity >= ALPHA_MIN):
        return
    ux, uy, uz, vx, vy, vz = _screen_axes(g, x, y, z, quats, scales, camera, lens)
    xx = ux * ux + uy * uy + uz * uz
    xy = ux * vx + uy * vy + uz * vz
    yy = vx * vx + vy * vy + vz * vz
    # |u|²|v|² - (u·v)² as a cross product's square: no cancellation for needles
    cross_x, cross_y, cross_z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    det = cross_x * cross_x + cross_y * cross_y + cross_z * cross_z + EPS2D * (xx + yy) + EPS2D * EPS2D
    xx += EPS2D
    yy += EPS2D
    px, py = lens[FX] * x / z + lens[CX], lens[FY] * y / z + lens[CY]
    total = abs(px) + abs(py) + xx + yy + opacity
    total += abs(np.float64(colors[g, 0])) + abs(np.float64(colors[g, 1])) + abs(np.float64(colors[g, 2]))
    if not total < 1e30:
        return  # NaN, infinite or beyond float32

    extent = math.sqrt(2.0 * math.log(opacity / ALPHA_MIN))
    half_x, half_y = extent * math.sqrt(xx), extent * math.sqrt(yy)
    left = max(0.0, math.ceil(px - half_x - 0.5))
    right = min(lens[WIDTH], math.floor(px + half_x - 0.5) + 1.0)
    top = max(0.0, math.ceil(py - half_y - 0.5))
    bottom = min(lens[HEIGHT], math.floor(py + half_y - 0.5) + 1.0)
    if left >= right or top >= bottom:
        return
    rects[g, 0], rects[g, 1], rects[g, 2], rects[g, 3] = int(left), int(top), int(right), int(bottom)
    radii[g, 0], radii[g, 1] = int(min(math.ceil(half_x), 1e9)), int(min(math.ceil(half_y), 1e9))

    root = math.sqrt(yy / det)
    splats[g, X], splats[g, Y] = px, py
    splats[g, WHITEN_XX] = WHITEN * root
    splats[g, WHITEN_XY] = -WHITEN * xy / (det * root)
    splats[g, WHITEN_YY] = WHITEN / math.sqrt(yy)
    splats[g, OPACITY] = opacity
    splats[g, RED], splats[g, GREEN], splats[g, BLUE] = colors[g, 0], colors[g, 1], colors[g, 2]
    splats[g, DEPTH] = z


@njit(fastmath=FLAGS, error_model="numpy")
def _camera_axes(g, quats, scales, camera):
    """The Gaussian's three axes, scaled, in the camera's frame: nine entries of camera rotation · rotation · scales."""
    w, x, y, z = np.float64(quats[g, 0]), np.float64(quats[g, 1]), np.float64(quats[g, 2]), np.float64(quats[g, 3])
    inverse = 1.0 / math.sqrt(w * w + x * x + y * y + z * z)
    r = _rotation(w * inverse, x * inverse, y * inverse, z * inverse)
    a, b, c = np.float64(scales[g, 0]), np.float64(scales[g, 1]), np.float64(scales[g, 2])
    return (
        (camera[0, 0] * r[0] + camera[0, 1] * r[3] + camera[0, 2] * r[6]) * a,
        (camera[0, 0] * r[1] + camera[0, 1] * r[4] + camera[0, 2] * r[7]) * b,
        (camera[0, 0] * r[2] + camera[0, 1] * r[5] + camera[0, 2] * r[8]) * c,
        (camera[1, 0] * r[0] + camera[1, 1] * r[3] + camera[1, 2] * r[6]) * a,
        (camera[1, 0] * r[1] + camera[1, 1] * r[4] + camera[1, 2] * r[7]) * b,
        (camera[1, 0] * r[2] + camera[1, 1] * r[5] + camera[1, 2] * r[8]) * c,
        (camera[2, 0] * r[0] + camera[2, 1] * r[3] + camera[2, 2] * r[6]) * a,
        (camera[2, 0] * r[1] + camera[2, 1] * r[4] + camera[2, 2] * r[7]) * b,
        (camera[2, 0] * r[2] + camera[2, 1] * r[5] + camera[2, 2] * r[8]) * c,
    )


@njit(fastmath=FLAGS, error_model="numpy")
def _screen_axes(g, x, y, z, quats, scales, camera, lens):
    """The two rows of Jacobian · axes; their Gram matrix is the projected covariance before the low-pass."""
    v = _camera_axes(g, quats, scales, camera)
    slope_x, _ = _clamped_slope(x / z, lens[FX], lens[CX], lens[WIDTH])
    slope_y, _ = _clamped_slope(y / z, lens[FY], lens[CY], lens[HEIGHT])
    jx, jy = lens[FX] / z, lens[FY] / z
    return (
        jx * (v[0] - slope_x * v[6]),
        jx * (v[1] - slope_x * v[7]),
        jx * (v[2] - slope_x * v[8]),
        jy * (v[3] - slope_y * v[6]),
        jy * (v[4] - slope_y * v[7]),
        jy * (v[5] - slope_y * v[8]),
    )


@njit(parallel=True, nogil=True, error_model="numpy")
def project(means, quats, scales, opacities, colors, visible, camera, lens, near, splats, rects, radii):
    """Project N Gaussians; culled ones keep the zeros that ``rects`` and ``radii`` come with.

    Args:
        means, quats, scales, opacities, colors: float32 [N, 3], [N, 4], [N, 3], [N], [N, 3].
        visible: bool [N].
        camera: float64 [4, 4], world to camera. lens: float64 [6]: fx, fy, cx, cy, width, height in pixels.
        splats: float32 [N, SPLAT], written where a Gaussian is kept.
        rects: int32 [N, 4], written: first and one past the last column and row (x0, y0, x1, y1) that it can touch.
        radii: int32 [N, 2], written: half extents in pixels, rounded up.
    """
    for g in prange(means.shape[0]):
        if visible[g]:
            _project_one(g, means, quats, scales, opacities, colors, camera, lens, near, splats, rects, radii)


@njit(fastmath=FLAGS, error_model="numpy")
def _pull_back_one(g, sums, means, quats, scales, camera, lens, splats, d_means, d_quats, d_scales, d_camera):
    """Chain rule from one Gaussian's summed tile gradients to its mean, quaternion, scales and the camera [3, 4]."""
    mx, my, mz = np.float64(means[g, 0]), np.float64(means[g, 1]), np.float64(means[g, 2])
    x = camera[0, 0] * mx + camera[0, 1] * my + camera[0, 2] * mz + camera[0, 3]
    y = camera[1, 0] * mx + camera[1, 1] * my + camera[1, 2] * mz + camera[1, 3]
    z = camera[2, 0] * mx + camera[2, 1] * my + camera[2, 2] * mz + camera[2, 3]
    slope_x, inside_x = _clamped_slope(x / z, lens[FX], lens[CX], lens[WIDTH])
    slope_y, inside_y = _clamped_slope(y / z, lens[FY], lens[CY], lens[HEIGHT])
    jx, jy = lens[FX] / z, lens[FY] / z
    v = _camera_axes(g, quats, scales, camera)
    ux, uy, uz, vx, vy, vz = _screen_axes(g, x, y, z, quats, scales, camera, lens)

    # sigma = ln 2 (u² + v²): its gradient in the pixel offset is 2 ln 2 Lᵀ(u, v), in the covariance -½ of that squared
    lxx, lxy, lyy = np.float64(splats[g, WHITEN_XX]), np.float64(splats[g, WHITEN_XY]), np.float64(splats[g, WHITEN_YY])
    d_px = 2.0 * LN2 * lxx * sums[G_U]
    d_py = 2.0 * LN2 * (lxy * sums[G_U] + lyy * sums[G_V])
    factor = 4.0 * LN2 * LN2  # -½ (2 ln 2)², dL/dsigma = -h, and twice for both rows of the Gram matrix
    d_xx = factor * lxx * lxx * sums[G_UU]
    d_xy = factor * lxx * (lxy * sums[G_UU] + lyy * sums[G_UV])
    d_yy = factor * (lxy * lxy * sums[G_UU] + 2.0 * lxy * lyy * sums[G_UV] + lyy * lyy * sums[G_VV])
    d_ux, d_uy, d_uz = d_xx * ux + d_xy * vx, d_xx * uy + d_xy * vy, d_xx * uz + d_xy * vz
    d_vx, d_vy, d_vz = d_xy * ux + d_yy * vx, d_xy * uy + d_yy * vy, d_xy * uz + d_yy * vz

    # screen axes = j (v_row - slope v_z)
    d_v = (
        jx * d_ux,
        jx * d_uy,
        jx * d_uz,
        jy * d_vx,
        jy * d_vy,
        jy * d_vz,
        -jx * slope_x * d_ux - jy * slope_y * d_vx,
        -jx * slope_x * d_uy - jy * slope_y * d_vy,
        -jx * slope_x * d_uz - jy * slope_y * d_vz,
    )
    d_slope_x = -jx * (d_ux * v[6] + d_uy * v[7] + d_uz * v[8])
    d_slope_y = -jy * (d_vx * v[6] + d_vy * v[7] + d_vz * v[8])
    d_x, d_y = jx * d_px, jy * d_py
    d_z = sums[G_DEPTH] - (d_x * x + d_y * y) / z
    d_z -= (d_ux * ux + d_uy * uy + d_uz * uz + d_vx * vx + d_vy * vy + d_vz * vz) / z
    if inside_x:
        d_x += d_slope_x / z
        d_z -= d_slope_x * slope_x / z
    if inside_y:
        d_y += d_slope_y / z
        d_z -= d_slope_y * slope_y / z
    d_means[g, 0] += camera[0, 0] * d_x + camera[1, 0] * d_y + camera[2, 0] * d_z
    d_means[g, 1] += camera[0, 1] * d_x + camera[1, 1] * d_y + camera[2, 1] * d_z
    d_means[g, 2] += camera[0, 2] * d_x + camera[1, 2] * d_y + camera[2, 2] * d_z

    w, qx, qy, qz = np.float64(quats[g, 0]), np.float64(quats[g, 1]), np.float64(quats[g, 2]), np.float64(quats[g, 3])
    inverse = 1.0 / math.sqrt(w * w + qx * qx + qy * qy + qz * qz)
    w, qx, qy, qz = w * inverse, qx * inverse, qy * inverse, qz * inverse
    r = _rotation(w, qx, qy, qz)
    a, b, c = np.float64(scales[g, 0]), np.float64(scales[g, 1]), np.float64(scales[g, 2])
    for row in range(3):
        d0, d1, d2 = d_v[3 * row], d_v[3 * row + 1], d_v[3 * row + 2]
        d_position = d_x if row == 0 else (d_y if row == 1 else d_z)
        d_camera[row, 0] += d_position * mx + d0 * r[0] * a + d1 * r[1] * b + d2 * r[2] * c
        d_camera[row, 1] += d_position * my + d0 * r[3] * a + d1 * r[4] * b + d2 * r[5] * c
        d_camera[row, 2] += d_position * mz + d0 * r[6] * a + d1 * r[7] * b + d2 * r[8] * c
        d_camera[row, 3] += d_position

    # gradient in the world-space axes rotation · scales
    m0 = camera[0, 0] * d_v[0] + camera[1, 0] * d_v[3] + camera[2, 0] * d_v[6]
    m1 = camera[0, 0] * d_v[1] + camera[1, 0] * d_v[4] + camera[2, 0] * d_v[7]
    m2 = camera[0, 0] * d_v[2] + camera[1, 0] * d_v[5] + camera[2, 0] * d_v[8]
    m3 = camera[0, 1] * d_v[0] + camera[1, 1] * d_v[3] + camera[2, 1] * d_v[6]
    m4 = camera[0, 1] * d_v[1] + camera[1, 1] * d_v[4] + camera[2, 1] * d_v[7]
    m5 = camera[0, 1] * d_v[2] + camera[1, 1] * d_v[5] + camera[2, 1] * d_v[8]
    m6 = camera[0, 2] * d_v[0] + camera[1, 2] * d_v[3] + camera[2, 2] * d_v[6]
    m7 = camera[0, 2] * d_v[1] + camera[1, 2] * d_v[4] + camera[2, 2] * d_v[7]
    m8 = camera[0, 2] * d_v[2] + camera[1, 2] * d_v[5] + camera[2, 2] * d_v[8]
    d_scales[g, 0] += m0 * r[0] + m3 * r[3] + m6 * r[6]
    d_scales[g, 1] += m1 * r[1] + m4 * r[4] + m7 * r[7]
    d_scales[g, 2] += m2 * r[2] + m5 * r[5] + m8 * r[8]

    m0, m3, m6 = m0 * a, m3 * a, m6 * a
    m1, m4, m7 = m1 * b, m4 * b, m7 * b
    m2, m5, m8 = m2 * c, m5 * c, m8 * c
    d_w = 2.0 * (qx * (m7 - m5) + qy * (m2 - m6) + qz * (m3 - m1))
    d_qx = 2.0 * (-2.0 * qx * (m4 + m8) + qy * (m1 + m3) + qz * (m2 + m6) + w * (m7 - m5))
    d_qy = 2.0 * (qx * (m1 + m3) - 2.0 * qy * (m0 + m8) + qz * (m5 + m7) + w * (m2 - m6))
    d_qz = 2.0 * (qx * (m2 + m6) + qy * (m5 + m7) - 2.0 * qz * (m0 + m4) + w * (m3 - m1))
    along = d_w * w + d_qx * qx + d_qy * qy + d_qz * qz
    d_quats[g, 0] += (d_w - along * w) * inverse
    d_quats[g, 1] += (d_qx - along * qx) * inverse
    d_quats[g, 2] += (d_qy - along * qy) * inverse
    d_quats[g, 3] += (d_qz - along * qz) * inverse


@njit(fastmath=FLAGS, error_model="numpy")
def _pull_back_block(
    block, pair_offsets, pair_gradients, means, quats, scales, camera, lens, splats,
    d_means, d_quats, d_scales, d_opacities, d_colors, d_camera,
):  # fmt: skip
    n = means.shape[0]
    sums = np.empty(GRADIENT, np.float64)
    for g in range(block * n // BLOCKS, (block + 1) * n // BLOCKS):
        if pair_offsets[g] == pair_offsets[g + 1]:
            continue
        sums[:] = 0.0
        for pair in range(pair_offsets[g], pair_offsets[g + 1]):
            for column in range(GRADIENT):
                sums[column] += pair_gradients[pair, column]
        d_opacities[g] += sums[G_ALPHA] / splats[g, OPACITY]
        d_colors[g, 0] += sums[G_RED]
        d_colors[g, 1] += sums[G_GREEN]
        d_colors[g, 2] += sums[G_BLUE]
        _pull_back_one(
            g, sums, means, quats, scales, camera, lens, splats,
            d_means, d_quats, d_scales, d_camera,
        )  # fmt: skip


@njit(parallel=True, nogil=True, error_model="numpy")
def pull_back(
    pair_offsets, pair_gradients, means, quats, scales, camera, lens, splats,
    d_means, d_quats, d_scales, d_opacities, d_colors, d_camera,
):  # fmt: skip
    """Add the gradients of one camera's image to those of the Gaussians and of the camera.

    Args:
        pair_offsets: int64 [N + 1], first pair of every Gaussian. pair_gradients: float32 [pairs, GRADIENT].
        d_means, d_quats, d_scales, d_opacities, d_colors: float32, as the Gaussians, added to.
        d_camera: float64 [BLOCKS, 3, 4], added to; its sum over blocks is the gradient.
    """
    for block in prange(BLOCKS):
        _pull_back_block(
            block, pair_offsets, pair_gradients, means, quats, scales, camera, lens, splats,
            d_means, d_quats, d_scales, d_opacities, d_colors, d_camera[block],
        )  # fmt: skip
