"""Numba kernels that sort splats into 16 px tiles and blend them front to back, and the gradient of the blend.

Inside a tile the outer loop runs over splats and the inner one over pixel rows, a row at once (:mod:`.vectors`). With W
the whitening of a splat's covariance, a pixel's alpha is 2^(log2 opacity - u² - v²), where (u, v) = W (pixel - centre):
u is linear along a row, v constant. A tile's planes lie in one array.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, prange, types
from numba.core import cgutils

from engine.kernels import njit
from engine.splatting.kernels.constants import ALPHA_CAP, ALPHA_MIN, TILE, TRANSMITTANCE_MIN
from engine.splatting.kernels.projection import (
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
from engine.splatting.kernels.vectors import F32, WIDE, Lanes

ZERO, HALF = np.float32(0.0), np.float32(0.5)
PIXELS = TILE * TILE
ALIVE_CHECK = 16
"""Splats between two looks whether any pixel of the tile is unfinished."""

T_PLANE, R_PLANE, G_PLANE, B_PLANE, D_PLANE, LAST_PLANE, BEHIND_PLANE = (PIXELS * plane for plane in range(7))
PLANES = PIXELS * 7
intrinsic: Any = extending.intrinsic  # whoever calls one leaves its first parameter out
SUMS = {
    "alpha": G_ALPHA, "u": G_U, "v": G_V, "uu": G_UU, "uv": G_UV, "vv": G_VV,
    "red": G_RED, "green": G_GREEN, "blue": G_BLUE, "depth": G_DEPTH,
}  # fmt: skip
"""A splat's sums over pixels, and where in its gradient they stand."""


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


def _places(lanes, kind, planes, first):
    """Pointers to a row's sixteen pixels in each plane."""
    b = lanes.b
    return [lanes.at(kind, planes, b.add(first, ir.Constant(first.type, plane))) for plane in range(0, PLANES, PIXELS)]


def _rows(lanes, first, end):
    """A loop over a tile's rows from ``first`` to before ``end``; gives the row and its first pixel."""
    return cgutils.for_range_slice(lanes.b, first, end, ir.Constant(first.type, 1))


@intrinsic
def _blend_one(typing, planes, first, end, x0, y0, number, xx, xy, yy, log_opacity, red, green, blue, depth):
    """Blend one splat into a tile's rows from ``first`` to before ``end``.

    (x0, y0) is the centre of the tile's first pixel less the splat's centre, ``number`` the splat's place in the tile's
    list. A finished pixel keeps its transmittance with the sign turned.
    """
    signature = types.void(planes, types.int64, types.int64, *[types.float32] * 11)

    def code(context, b, sig, args):
        lanes = Lanes(context, b)
        planes, first, end, x0, y0, number, xx, xy, yy, log_opacity, *values = args
        zero, along = (
            lanes.constant(0.0),
            lanes.fma(lanes.counting(), lanes.broadcast(xx), lanes.broadcast(b.fmul(xx, x0))),
        )
        number, log_opacity = lanes.broadcast(number), lanes.broadcast(log_opacity)
        values = [lanes.broadcast(value) for value in values]
        with _rows(lanes, first, end) as (y, _):
            at_t, *at_values, at_last, _ = _places(lanes, sig.args[0], planes, b.mul(y, ir.Constant(y.type, TILE)))
            dy = b.fadd(y0, b.sitofp(y, F32))
            v = b.fmul(yy, dy)
            u = b.fadd(along, lanes.broadcast(b.fmul(xy, dy)))
            exponent = lanes.fma(b.fneg(u), u, b.fsub(log_opacity, lanes.broadcast(b.fmul(v, v))))
            alpha = lanes.least(lanes.exp2(exponent), lanes.constant(ALPHA_CAP))
            t = lanes.load(at_t)
            after = lanes.fma(b.fneg(t), alpha, t)
            hit = b.and_(b.fcmp_ordered(">=", alpha, lanes.constant(ALPHA_MIN)), b.fcmp_ordered(">", t, zero))
            blended = b.and_(hit, b.fcmp_ordered(">", after, lanes.constant(TRANSMITTANCE_MIN)))
            weight = b.select(blended, b.fmul(alpha, t), zero)
            lanes.store(b.select(hit, b.select(blended, after, b.fneg(t)), t), at_t)
            for place, value in zip(at_values, values, strict=True):
                lanes.store(lanes.fma(weight, value, lanes.load(place)), place)
            lanes.store(b.select(blended, number, lanes.load(at_last)), at_last)
        return context.get_dummy_value()

    return signature, code


@intrinsic
def _any_alive(typing, planes):
    """Whether any of a tile's pixels has a positive transmittance."""

    def code(context, b, sig, args):
        lanes, most = Lanes(context, b), None
        for k in range(T_PLANE, T_PLANE + PIXELS, WIDE):
            row = lanes.load(lanes.at(sig.args[0], args[0], ir.Constant(ir.IntType(64), k)))
            most = row if most is None else lanes.most(most, row)
        alive = b.bitcast(b.fcmp_ordered(">", most, lanes.constant(0.0)), ir.IntType(WIDE))
        return b.icmp_unsigned("!=", alive, ir.Constant(ir.IntType(WIDE), 0))

    return types.boolean(planes), code


@njit(fastmath=FLAGS, error_model="numpy")
def _blend_tile(left, top, splats, log_opacities, rects, tile_splats, renders, transmittances, last):
    height, width = transmittances.shape
    planes = np.zeros(PLANES, np.float32)
    planes[LAST_PLANE : LAST_PLANE + PIXELS] = -1.0
    planes[T_PLANE : T_PLANE + PIXELS] = -1.0
    for y in range(min(TILE, height - top)):
        for x in range(min(TILE, width - left)):
            planes[T_PLANE + y * TILE + x] = 1.0

    for k in range(len(tile_splats)):
        if k % ALIVE_CHECK == 0 and not _any_alive(planes):
            break
        g = tile_splats[k]
        _blend_one(
            planes,
            max(rects[g, 1] - top, 0),
            min(rects[g, 3] - top, TILE),
            np.float32(left) + HALF - splats[g, X],
            np.float32(top) + HALF - splats[g, Y],
            np.float32(k),
            splats[g, WHITEN_XX],
            splats[g, WHITEN_XY],
            splats[g, WHITEN_YY],
            log_opacities[g],
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
    log_opacities = np.log2(splats[:, OPACITY])
    for tile in prange(len(tile_offsets) - 1):
        listed = tile_splats[tile_offsets[tile] : tile_offsets[tile + 1]]
        left, top = tile % columns * TILE, tile // columns * TILE
        _blend_tile(left, top, splats, log_opacities, rects, listed, renders, transmittances, last)


@intrinsic
def _unblend_one(
    typing, planes, first, end, x0, y0, number, xx, xy, yy, log_opacity, red, green, blue, depth, gradient
):
    """Take one splat off the rows that :func:`_blend_one` put it on, and write its gradient [GRADIENT].

    The T plane holds the transmittance behind the splat, the colour planes the image's gradient, and the BEHIND plane
    what the pixels behind the splat (and alpha) contribute to the loss.
    """
    signature = types.void(planes, types.int64, types.int64, *[types.float32] * 11, gradient)

    def code(context, b, sig, args):
        lanes = Lanes(context, b)
        planes, first, end, x0, y0, number, xx, xy, yy, log_opacity, *values, gradient = args
        zero, one = lanes.constant(0.0), lanes.constant(1.0)
        along = lanes.fma(lanes.counting(), lanes.broadcast(xx), lanes.broadcast(b.fmul(xx, x0)))
        number, log_opacity = lanes.broadcast(number), lanes.broadcast(log_opacity)
        values = [lanes.broadcast(value) for value in values]
        sums = {name: cgutils.alloca_once_value(b, zero) for name in SUMS}

        def add(name, x, y=one):
            b.store(lanes.fma(x, y, b.load(sums[name])), sums[name])

        with _rows(lanes, first, end) as (y, _):
            at_t, *at_values, at_last, at_behind = _places(
                lanes, sig.args[0], planes, b.mul(y, ir.Constant(y.type, TILE))
            )
            dy = b.fadd(y0, b.sitofp(y, F32))
            v = b.fmul(yy, dy)
            u = b.fadd(along, lanes.broadcast(b.fmul(xy, dy)))
            exponent = lanes.fma(b.fneg(u), u, b.fsub(log_opacity, lanes.broadcast(b.fmul(v, v))))
            free = lanes.exp2(exponent)
            cap, last = lanes.constant(ALPHA_CAP), lanes.load(at_last)
            alpha = lanes.least(free, cap)
            taken = b.and_(b.fcmp_ordered(">=", alpha, lanes.constant(ALPHA_MIN)), b.fcmp_ordered("<=", number, last))
            alpha = b.select(taken, alpha, zero)
            grads, behind = [lanes.load(place) for place in at_values], lanes.load(at_behind)
            inverse = b.fdiv(one, b.fsub(one, alpha))
            t = b.fmul(lanes.load(at_t), inverse)
            weight = b.fmul(alpha, t)
            own = b.fmul(grads[0], values[0])
            for grad, value in zip(grads[1:], values[1:], strict=True):
                own = lanes.fma(grad, value, own)
            h = b.fmul(alpha, lanes.fma(t, own, b.fneg(b.fmul(behind, inverse))))
            h = b.select(b.fcmp_ordered("<=", free, cap), h, zero)
            lanes.store(t, at_t)
            lanes.store(lanes.fma(weight, own, behind), at_behind)
            across = lanes.broadcast(v)
            by_u, by_v = b.fmul(h, u), b.fmul(h, across)
            add("alpha", h)
            add("u", by_u)
            add("v", by_v)
            add("uu", by_u, u)
            add("uv", by_u, across)
            add("vv", by_v, across)
            for name, grad in zip(("red", "green", "blue", "depth"), grads, strict=True):
                add(name, weight, grad)
        data = context.make_array(sig.args[-1])(context, b, gradient).data
        for name, place in SUMS.items():
            b.store(lanes.total(b.load(sums[name])), b.gep(data, [ir.Constant(ir.IntType(64), place)]))
        return context.get_dummy_value()

    return signature, code


@njit(fastmath=FLAGS, error_model="numpy")
def _unblend_tile(
    left,
    top,
    splats,
    log_opacities,
    rects,
    tile_splats,
    tile_pairs,
    transmittances,
    last,
    d_renders,
    d_alphas,
    pair_gradients,
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
        _unblend_one(
            planes,
            max(rects[g, 1] - top, 0),
            min(rects[g, 3] - top, TILE),
            np.float32(left) + HALF - splats[g, X],
            np.float32(top) + HALF - splats[g, Y],
            np.float32(k),
            splats[g, WHITEN_XX],
            splats[g, WHITEN_XY],
            splats[g, WHITEN_YY],
            log_opacities[g],
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
    log_opacities = np.log2(splats[:, OPACITY])
    for tile in prange(len(tile_offsets) - 1):
        listed = slice(tile_offsets[tile], tile_offsets[tile + 1])
        _unblend_tile(
            tile % columns * TILE,
            tile // columns * TILE,
            splats,
            log_opacities,
            rects,
            tile_splats[listed],
            tile_pairs[listed],
            transmittances,
            last,
            d_renders,
            d_alphas,
            pair_gradients,
        )
