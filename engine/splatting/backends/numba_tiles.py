"""Numba kernels that sort splats into 16 px tiles and blend them front to back, and the gradient of the blend.

Inside a tile the outer loop runs over splats and the inner one, branch-free, over whole pixel rows: LLVM turns it into
SIMD code. A tile's planes lie in one array, so that no pointer can alias another.
"""

import numpy as np
from numba import prange

from engine.kernels import njit
from engine.splatting.backends.numba_projection import (
    BLUE,
    DEPTH,
    FLAGS,
    G_ALPHA,
    G_BLUE,
    G_DEPTH,
    G_GREEN,
    G_RED,
    G_U,
    G_UU,
    G_UV,
    G_V,
    G_VV,
    GREEN,
    OPACITY,
    RED,
    WHITEN_XX,
    WHITEN_XY,
    WHITEN_YY,
    X,
    Y,
)
from engine.splatting.constants import ALPHA_CAP, ALPHA_MIN, TILE, TRANSMITTANCE_MIN

CAP, MIN_ALPHA, STOP = np.float32(ALPHA_CAP), np.float32(ALPHA_MIN), np.float32(TRANSMITTANCE_MIN)
ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
PIXELS = TILE * TILE
ALIVE_CHECK = 16
"""Splats between two looks whether any pixel of the tile is unfinished."""

T_PLANE, R_PLANE, G_PLANE, B_PLANE, D_PLANE, LAST_PLANE, BEHIND_PLANE = (PIXELS * plane for plane in range(7))
PLANES = PIXELS * 7

E0, E1, E2, E3, E4, E5 = (
    np.float32(c)
    for c in (
        1.535336188319500e-4,
        1.339887440266574e-3,
        9.618437357674640e-3,
        5.550332471162809e-2,
        2.402264791363012e-1,
        6.931472028550421e-1,
    )
)
LOWEST_EXPONENT = np.float32(-100.0)


@njit(fastmath=FLAGS, error_model="numpy")
def _exp2(x):
    """2^x for x in [-100, 0], relative error 2e-7: Cephes' ``exp2f`` polynomial, which vectorises, unlike libm's."""
    whole = np.int32(x - HALF)
    f = x - np.float32(whole)
    power = np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)
    return (((((E0 * f + E1) * f + E2) * f + E3) * f + E4) * f + E5) * f * power + power


@njit(nogil=True, error_model="numpy")
def bin_splats(order, rects, width, height):
    """List every tile's splats in depth order.

    Args:
        order: uint64 [M], kept splats, nearest first (the lower 32 bits). rects: int32 [N, 4].

    Returns:
        ``tile_offsets`` int64 [tiles + 1] into ``tile_splats`` int32 [pairs] and ``tile_pairs`` int64 [pairs]; a pair's
        number counts Gaussian by Gaussian, so that ``pair_offsets`` int64 [N + 1] bounds the pairs of each Gaussian.
    """
    columns, rows = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    tile_offsets = np.zeros(columns * rows + 1, np.int64)
    pair_offsets = np.zeros(len(rects) + 1, np.int64)
    for g in range(len(rects)):
        count = 0
        if rects[g, 2] > 0:
            x0, y0 = rects[g, 0] // TILE, rects[g, 1] // TILE
            x1, y1 = (rects[g, 2] - 1) // TILE + 1, (rects[g, 3] - 1) // TILE + 1
            count = (x1 - x0) * (y1 - y0)
            for ty in range(y0, y1):
                for tx in range(x0, x1):
                    tile_offsets[ty * columns + tx + 1] += 1
        pair_offsets[g + 1] = pair_offsets[g] + count
    for tile in range(columns * rows):
        tile_offsets[tile + 1] += tile_offsets[tile]

    fill = tile_offsets[:-1].copy()
    tile_splats = np.empty(tile_offsets[-1], np.int32)
    tile_pairs = np.empty(tile_offsets[-1], np.int64)
    for key in order:
        g = np.int64(key & np.uint64(0xFFFFFFFF))
        pair = pair_offsets[g]
        for ty in range(rects[g, 1] // TILE, (rects[g, 3] - 1) // TILE + 1):
            for tx in range(rects[g, 0] // TILE, (rects[g, 2] - 1) // TILE + 1):
                tile = ty * columns + tx
                tile_splats[fill[tile]] = g
                tile_pairs[fill[tile]] = pair
                fill[tile] += 1
                pair += 1
    return tile_offsets, tile_splats, tile_pairs, pair_offsets


@njit(fastmath=FLAGS, error_model="numpy")
def _blend_one(planes, base, count, x0, y0, number, xx, xy, yy, opacity, red, green, blue, depth):
    """Blend one splat into ``count`` pixels of a tile from pixel ``base`` on.

    (x0, y0) is the centre of the tile's first pixel less the splat's centre, ``number`` the splat's place in the tile's
    list. A finished pixel keeps its transmittance with the sign turned.
    """
    for i in range(count):
        p = np.uint32(base + i)
        dx = x0 + np.float32(np.int32(p & np.uint32(TILE - 1)))
        dy = y0 + np.float32(np.int32(p // np.uint32(TILE)))
        u, v = xx * dx + xy * dy, yy * dy
        exponent = max(LOWEST_EXPONENT, -(u * u + v * v))
        alpha = opacity * _exp2(exponent)
        alpha = min(CAP, alpha)
        t = planes[T_PLANE + p]
        after = t * (ONE - alpha)
        hit = (alpha >= MIN_ALPHA) & (t > ZERO)
        blended = hit & (after > STOP)
        weight = alpha * t if blended else ZERO
        planes[T_PLANE + p] = (after if blended else -t) if hit else t
        planes[R_PLANE + p] += weight * red
        planes[G_PLANE + p] += weight * green
        planes[B_PLANE + p] += weight * blue
        planes[D_PLANE + p] += weight * depth
        planes[LAST_PLANE + p] = number if blended else planes[LAST_PLANE + p]


@njit(fastmath=FLAGS, error_model="numpy")
def _blend_tile(left, top, splats, rects, tile_splats, renders, transmittances, last):
    height, width = transmittances.shape
    planes = np.zeros(PLANES, np.float32)
    planes[LAST_PLANE : LAST_PLANE + PIXELS] = -1.0
    planes[T_PLANE : T_PLANE + PIXELS] = -1.0
    for y in range(min(TILE, height - top)):
        for x in range(min(TILE, width - left)):
            planes[T_PLANE + y * TILE + x] = 1.0

    for k in range(len(tile_splats)):
        if k % ALIVE_CHECK == 0 and planes[T_PLANE : T_PLANE + PIXELS].max() <= ZERO:
            break
        g = tile_splats[k]
        first = max(rects[g, 1] - top, 0)
        end = min(rects[g, 3] - top, TILE)
        _blend_one(
            planes,
            first * TILE,
            (end - first) * TILE,
            np.float32(left) + HALF - splats[g, X],
            np.float32(top) + HALF - splats[g, Y],
            np.float32(k),
            splats[g, WHITEN_XX],
            splats[g, WHITEN_XY],
            splats[g, WHITEN_YY],
            splats[g, OPACITY],
            splats[g, RED],
            splats[g, GREEN],
            splats[g, BLUE],
            splats[g, DEPTH],
        )

    for y in range(min(TILE, height - top)):
        for x in range(min(TILE, width - left)):
            p = y * TILE + x
            renders[top + y, left + x, 0] = planes[R_PLANE + p]
            renders[top + y, left + x, 1] = planes[G_PLANE + p]
            renders[top + y, left + x, 2] = planes[B_PLANE + p]
            renders[top + y, left + x, 3] = planes[D_PLANE + p]
            transmittances[top + y, left + x] = abs(planes[T_PLANE + p])
            last[top + y, left + x] = np.int32(planes[LAST_PLANE + p])


@njit(parallel=True, nogil=True, error_model="numpy")
def blend(splats, rects, tile_offsets, tile_splats, renders, transmittances, last):
    """Blend all tiles.

    Args:
        renders: float32 [H, W, 4], written: red, green, blue, depth, each weighted and summed.
        transmittances: float32 [H, W], written. last: int32 [H, W], written: the place in its tile's list of the last
            splat that a pixel took, -1 where there is none.
    """
    columns = (transmittances.shape[1] + TILE - 1) // TILE
    for tile in prange(len(tile_offsets) - 1):
        listed = tile_splats[tile_offsets[tile] : tile_offsets[tile + 1]]
        _blend_tile(tile % columns * TILE, tile // columns * TILE, splats, rects, listed, renders, transmittances, last)


@njit(fastmath=FLAGS, error_model="numpy")
def _unblend_one(planes, base, count, x0, y0, number, xx, xy, yy, opacity, red, green, blue, depth, gradient):
    """Take one splat off the pixels that :func:`_blend_one` put it on, and write its gradient.

    The T plane holds the transmittance behind the splat, the colour planes the image's gradient, and the BEHIND plane
    what the pixels behind the splat (and alpha) contribute to the loss.
    """
    s, s_u, s_v, s_uu, s_uv, s_vv = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    s_red, s_green, s_blue, s_depth = ZERO, ZERO, ZERO, ZERO
    for i in range(count):
        p = np.uint32(base + i)
        dx = x0 + np.float32(np.int32(p & np.uint32(TILE - 1)))
        dy = y0 + np.float32(np.int32(p // np.uint32(TILE)))
        u, v = xx * dx + xy * dy, yy * dy
        exponent = max(LOWEST_EXPONENT, -(u * u + v * v))
        free = opacity * _exp2(exponent)
        alpha = min(CAP, free)
        blended = (alpha >= MIN_ALPHA) & (number <= planes[LAST_PLANE + p])
        alpha = alpha if blended else ZERO
        d_red, d_green, d_blue = planes[R_PLANE + p], planes[G_PLANE + p], planes[B_PLANE + p]
        d_depth, behind = planes[D_PLANE + p], planes[BEHIND_PLANE + p]
        inverse = ONE / (ONE - alpha)
        t = planes[T_PLANE + p] * inverse
        weight = alpha * t
        own = d_red * red + d_green * green + d_blue * blue + d_depth * depth
        h = alpha * (t * own - behind * inverse)
        h = h if free <= CAP else ZERO
        planes[T_PLANE + p] = t
        planes[BEHIND_PLANE + p] = behind + weight * own
        s += h
        s_u += h * u
        s_v += h * v
        s_uu += h * u * u
        s_uv += h * u * v
        s_vv += h * v * v
        s_red += weight * d_red
        s_green += weight * d_green
        s_blue += weight * d_blue
        s_depth += weight * d_depth
    gradient[G_ALPHA], gradient[G_U], gradient[G_V] = s, s_u, s_v
    gradient[G_UU], gradient[G_UV], gradient[G_VV] = s_uu, s_uv, s_vv
    gradient[G_RED], gradient[G_GREEN], gradient[G_BLUE], gradient[G_DEPTH] = s_red, s_green, s_blue, s_depth


@njit(fastmath=FLAGS, error_model="numpy")
def _unblend_tile(
    left, top, splats, rects, tile_splats, tile_pairs, transmittances, last, d_renders, d_alphas, pair_gradients
):
    height, width = transmittances.shape
    planes = np.zeros(PLANES, np.float32)
    planes[LAST_PLANE : LAST_PLANE + PIXELS] = -1.0
    deepest = -1
    for y in range(min(TILE, height - top)):
        for x in range(min(TILE, width - left)):
            p = y * TILE + x
            t = transmittances[top + y, left + x]
            planes[T_PLANE + p] = t
            planes[BEHIND_PLANE + p] = -d_alphas[top + y, left + x] * t
            planes[LAST_PLANE + p] = last[top + y, left + x]
            deepest = max(deepest, last[top + y, left + x])
            planes[R_PLANE + p] = d_renders[top + y, left + x, 0]
            planes[G_PLANE + p] = d_renders[top + y, left + x, 1]
            planes[B_PLANE + p] = d_renders[top + y, left + x, 2]
            planes[D_PLANE + p] = d_renders[top + y, left + x, 3]

    for k in range(len(tile_splats) - 1, -1, -1):
        gradient = pair_gradients[tile_pairs[k]]
        if k > deepest:
            gradient[:] = ZERO
            continue
        g = tile_splats[k]
        first = max(rects[g, 1] - top, 0)
        end = min(rects[g, 3] - top, TILE)
        _unblend_one(
            planes,
            first * TILE,
            (end - first) * TILE,
            np.float32(left) + HALF - splats[g, X],
            np.float32(top) + HALF - splats[g, Y],
            np.float32(k),
            splats[g, WHITEN_XX],
            splats[g, WHITEN_XY],
            splats[g, WHITEN_YY],
            splats[g, OPACITY],
            splats[g, RED],
            splats[g, GREEN],
            splats[g, BLUE],
            splats[g, DEPTH],
            gradient,
        )


@njit(parallel=True, nogil=True, error_model="numpy")
def unblend(
    splats, rects, tile_offsets, tile_splats, tile_pairs, transmittances, last, d_renders, d_alphas, pair_gradients
):
    """Gradient of :func:`blend`, pair by pair: every pair is written by one thread, so sums never depend on threads.

    Args:
        d_renders: float32 [H, W, 4]. d_alphas: float32 [H, W].
        pair_gradients: float32 [pairs, GRADIENT], written.
    """
    columns = (transmittances.shape[1] + TILE - 1) // TILE
    for tile in prange(len(tile_offsets) - 1):
        listed = slice(tile_offsets[tile], tile_offsets[tile + 1])
        _unblend_tile(
            tile % columns * TILE,
            tile // columns * TILE,
            splats,
            rects,
            tile_splats[listed],
            tile_pairs[listed],
            transmittances,
            last,
            d_renders,
            d_alphas,
            pair_gradients,
        )
