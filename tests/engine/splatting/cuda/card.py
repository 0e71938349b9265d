"""A graphics card that is not there: NVIDIA's driver as C functions, and gsplat's kernels on the processor.

The functions take what the driver's take, by C's calling convention; a kernel's parameters are read from the memory
that they are said to be in. Types and order of the parameters are written down here anew, after gsplat's sources, so
that an argument in a wrong place is a wrong picture. Gradients are autograd's, of the same formulas.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_uint, c_void_p
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from engine.splatting import reference

CONTEXT, MODULE = 0xC0, 0x70
NOT_FOUND, INVALID_VALUE = 500, 1
IMAGE = b"a fat binary"
# u: uint32, f: float, b: bool, p: pointer
TYPES = {"u": ctypes.c_uint32, "f": ctypes.c_float, "b": ctypes.c_bool, "p": ctypes.c_uint64}
KERNELS = {
    "projection_ewa_3dgs_fused_fwd_kernel": "uuupppppppuuffffuppppp",
    "projection_ewa_3dgs_fused_bwd_kernel": "uuuppppppuufupppppppppppp",
    "intersect_tile_kernel": "buuuppppppuuuuuppp",
    "intersect_offset_kernel": "upuuup",
    "rasterize_to_pixels_3dgs_fwd_kernel": "uuubppppppuuuuuppppp",
    "rasterize_to_pixels_3dgs_bwd_kernel": "uuubppppppuuuuuppppppppppp",
}
NAMES = {name: f"_Z{len(name)}{name}" for name in KERNELS}


class Card:
    """Attributes:
    library: what ctypes would load. launches: kernel, grid, block and shared bytes of each launch so far.
    fails: an error code for functions of the driver, by their names. depth: contexts that were pushed and not popped.
    """

    STREAM = SimpleNamespace(device_index=1, cuda_stream=0xABC)

    def __init__(self) -> None:
        self.launches: list[tuple[str, tuple[int, ...], tuple[int, ...], int]] = []
        self.fails: dict[str, int] = {}
        self.depth = 0
        self._kept: list[Any] = []
        self.library = SimpleNamespace()
        self._give("cuInit", self._nothing, c_uint)
        self._give("cuDeviceGet", self._device, POINTER(c_int), c_int)
        self._give("cuDevicePrimaryCtxRetain", self._retain, POINTER(c_void_p), c_int)
        self._give("cuCtxPushCurrent_v2", self._push, c_void_p)
        self._give("cuCtxPopCurrent_v2", self._pop, POINTER(c_void_p))
        self._give("cuModuleLoadData", self._load, POINTER(c_void_p), c_char_p)
        self._give("cuModuleGetFunction", self._function, POINTER(c_void_p), c_void_p, c_char_p)
        self._give("cuLaunchKernel", self._launch, c_void_p, *[c_uint] * 7, c_void_p, POINTER(c_void_p), c_void_p)

    def _give(self, name: str, body: Any, *types: Any) -> None:
        def called(*arguments: Any) -> int:
            return self.fails.get(name, 0) or body(*arguments)

        setattr(self.library, name, CFUNCTYPE(c_int, *types)(called))

    def _nothing(self, flags: int) -> int:
        return INVALID_VALUE if flags else 0

    def _device(self, out: Any, index: int) -> int:
        out[0] = index + 10  # a device is not its index
        return 0

    def _retain(self, out: Any, device: int) -> int:
        out[0] = CONTEXT
        return INVALID_VALUE if device != self.STREAM.device_index + 10 else 0

    def _push(self, context: int) -> int:
        self.depth += 1
        return INVALID_VALUE if context != CONTEXT else 0

    def _pop(self, out: Any) -> int:
        self.depth -= 1
        return 0

    def _load(self, out: Any, image: bytes) -> int:
        out[0] = MODULE
        return INVALID_VALUE if image != IMAGE or self.depth != 1 else 0

    def _function(self, out: Any, module: int, name: bytes) -> int:
        names = list(NAMES.values())
        out[0] = names.index(name.decode()) + 1 if name.decode() in names else 0
        return 0 if out[0] and module == MODULE else NOT_FOUND

    def _launch(self, function: int, *rest: Any) -> int:
        *sizes, stream, places, extra = rest
        if stream != self.STREAM.cuda_stream or extra or self.depth != 1 or 0 in sizes[:6]:
            return INVALID_VALUE
        name = list(KERNELS)[function - 1]
        values = [TYPES[kind].from_address(places[k]).value for k, kind in enumerate(KERNELS[name])]
        self.launches.append((name, tuple(sizes[:3]), tuple(sizes[3:6]), sizes[6]))
        try:
            with torch.enable_grad():
                globals()[f"_{name.removesuffix('_kernel')}"](*values)
        except Exception as error:  # C knows none
            self._kept.append(error)
            return INVALID_VALUE
        return 0

    @property
    def errors(self) -> list[Exception]:
        """What the kernels raised."""
        return self._kept


def _at(address: int, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray | None:
    """The array in memory at an address; None at 0."""
    if not address:
        return None
    count = int(np.prod(shape))
    raw = (ctypes.c_char * (count * np.dtype(dtype).itemsize)).from_address(address)
    return np.frombuffer(raw, dtype).reshape(shape)


def _tensor(address: int, *shape: int) -> torch.Tensor | None:
    found = _at(address, shape)
    return None if found is None else torch.from_numpy(found.copy()).double()


def _flat(means, quats, scales, viewmat, K, width, height, eps2d):
    """Projected means2d, depths and conics of one camera, differentiable."""
    ones = torch.ones(len(means), dtype=means.dtype)
    flat = reference.project(means, quats, scales, ones, means, viewmat, K, width, height, 1e-9)
    blur = (eps2d - 0.3) * torch.eye(2, dtype=means.dtype)
    inverse = torch.linalg.inv(flat.covariances + blur)
    conics = torch.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], -1)
    return flat.means2d, flat.depths, conics


def _projection_ewa_3dgs_fused_fwd(
    B, C, N, means, covars, quats, scales, opacities, viewmats, Ks, width, height,
    eps2d, near, far, clip, model, radii, means2d, depths, conics, compensations,
):  # fmt: skip
    assert (B, covars, model, clip, compensations) == (1, 0, 0, 0.0, 0)
    splats = [_tensor(a, N, k) for a, k in ((means, 3), (quats, 4), (scales, 3))]
    alphas, views, lenses = _at(opacities, (N,)), _tensor(viewmats, C, 4, 4), _tensor(Ks, C, 3, 3)
    out = [_at(a, (C, N, k)) for a, k in ((means2d, 2), (depths, 1), (conics, 3))]
    out_radii = _at(radii, (C, N, 2), np.int32)
    for c in range(C):
        z = splats[0] @ views[c, 2, :3] + views[c, 2, 3]
        seen = (z >= near) & (z <= far) & torch.from_numpy(alphas >= 1 / 255)
        xy, depth, conic = _flat(*splats, views[c], lenses[c], width, height, eps2d)
        spread = torch.linalg.inv(conic[:, [0, 1, 1, 2]].reshape(-1, 2, 2)).diagonal(dim1=1, dim2=2)
        radius = (3.33 * spread.clamp(min=0).sqrt()).ceil()
        inside = (xy + radius > 0) & (xy - radius < torch.tensor([width, height]))
        seen = (seen & inside.all(-1) & spread.isfinite().all(-1)).numpy()
        for target, value in zip(out, (xy, depth[:, None], conic), strict=True):
            target[c][seen] = value.numpy()[seen]
        out_radii[c] = np.where(seen[:, None], radius.nan_to_num(0, 0, 0).numpy(), 0)


def _projection_ewa_3dgs_fused_bwd(
    B, C, N, means, covars, quats, scales, viewmats, Ks, width, height, eps2d, model, radii, conics, compensations,
    v_means2d, v_depths, v_conics, v_compensations, v_means, v_covars, v_quats, v_scales, v_viewmats,
):  # fmt: skip
    assert (B, covars, model, compensations, v_compensations, v_covars) == (1, 0, 0, 0, 0, 0)
    kept = torch.from_numpy((_at(radii, (C, N, 2), np.int32) > 0).all(-1))
    assert np.isfinite(_at(conics, (C, N, 3))).all()
    inputs = [_tensor(a, N, k) for a, k in ((means, 3), (quats, 4), (scales, 3))] + [_tensor(viewmats, C, 4, 4)]
    lenses = _tensor(Ks, C, 3, 3)
    slopes = [_tensor(a, C, N, k) for a, k in ((v_means2d, 2), (v_depths, 1), (v_conics, 3))]
    leaves = [x.requires_grad_() for x in inputs]
    total = torch.zeros((), dtype=torch.float64)
    for c in range(C):
        own = [x[kept[c]] for x in leaves[:3]]
        xy, depth, conic = _flat(*own, leaves[3][c], lenses[c], width, height, eps2d)
        for value, slope in zip((xy, depth[:, None], conic), slopes, strict=True):
            total = total + (value * slope[c][kept[c]]).sum()
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    shapes = ((N, 3), (N, 4), (N, 3), (C, 4, 4))
    for address, shape, value in zip((v_means, v_quats, v_scales, v_viewmats), shapes, found, strict=True):
        if address and value is not None:
            _at(address, shape)[...] += value.numpy()


def _intersect_tile(
    packed, images, N, nnz, image_ids, gaussian_ids, means2d, radii, depths, ends, size, columns, rows,
    tile_bits, image_bits, tiles, keys, splats,
):  # fmt: skip
    assert (packed, nnz, image_ids, gaussian_ids) == (False, 0, 0, 0) and 2**tile_bits > rows * columns
    xy, reach = _at(means2d, (images * N, 2)), _at(radii, (images * N, 2), np.int32)
    z = _at(depths, (images * N,)).view(np.uint32).astype(np.int64)
    low = np.clip(np.floor((xy - reach) / size), 0, [columns, rows]).astype(int)
    high = np.clip(np.ceil((xy + reach) / size), 0, [columns, rows]).astype(int)
    if not ends:
        counts = (high - low).prod(-1) * (reach > 0).all(-1)
        _at(tiles, (images * N,), np.int32)[...] = counts
        return
    last = _at(ends, (images * N,), np.int64)
    for k in np.flatnonzero((reach > 0).all(-1)):
        place = last[k - 1] if k else 0
        for y in range(low[k, 1], high[k, 1]):
            for x in range(low[k, 0], high[k, 0]):
                _at(keys, (last[-1],), np.int64)[place] = k // N << 32 + tile_bits | (y * columns + x) << 32 | z[k]
                _at(splats, (last[-1],), np.int32)[place] = k
                place += 1
        assert place == last[k]


def _intersect_offset(n, keys, images, tiles, tile_bits, offsets):
    ids = _at(keys, (n,), np.int64) >> 32
    flat = (ids >> tile_bits) * tiles + (ids & (1 << tile_bits) - 1)
    assert (np.diff(ids) >= 0).all()
    _at(offsets, (images * tiles,), np.int32)[...] = np.searchsorted(flat, np.arange(images * tiles))


def _blended(
    count, N, n, packed, xy, conics, colors, opacities, backgrounds, masks, width, height, size, columns, rows,
    offsets, ids,
):  # fmt: skip
    """Leaves and, for each image and tile, its pixels with what they show."""
    assert (packed, masks) == (False, 0)
    places = ((xy, 2), (conics, 3), (colors, 4), (opacities, 1))
    leaves = [_tensor(address, count * N, k).requires_grad_() for address, k in places]
    behind = _tensor(backgrounds, count, 4)
    starts = [*_at(offsets, (count * rows * columns,), np.int32), n]
    flat = torch.from_numpy(_at(ids, (n,), np.int32).astype(np.int64)) if n else torch.zeros(0, dtype=torch.int64)
    pixels = reference.pixel_centres(width, height, torch.float64)
    shown = []
    for k in range(count * rows * columns):
        image, y, x = k // (rows * columns), k // columns % rows, k % columns
        window = (image, slice(y * size, (y + 1) * size), slice(x * size, (x + 1) * size))
        own = flat[starts[k] : starts[k + 1]]
        means2d, conic, color, alpha = (leaf[own] for leaf in leaves)
        cov = torch.linalg.inv(conic[:, [0, 1, 1, 2]].reshape(-1, 2, 2))
        at = pixels[window[1:]]
        summed, alphas = reference.composite(at.reshape(-1, 2), means2d, cov, alpha[:, 0], color)
        if behind is not None:
            summed = summed + (1 - alphas)[:, None] * behind[image]
        shown.append((window, summed.view(*at.shape[:2], 4), alphas.view(*at.shape[:2])))
    return leaves, shown


def _rasterize_to_pixels_3dgs_fwd(*values):
    *given, renders, alphas, last = values
    images, width, height = given[0], *given[10:12]
    out, out_alphas = _at(renders, (images, height, width, 4)), _at(alphas, (images, height, width))
    assert _at(last, (images, height, width), np.int32) is not None
    for window, color, alpha in _blended(*given)[1]:
        out[window], out_alphas[window] = color.detach().numpy(), alpha.detach().numpy()


def _rasterize_to_pixels_3dgs_bwd(*values):
    given, (alphas, last, v_colors, v_alphas, v_abs, *targets) = values[:17], values[17:]
    images, count, width, height = given[0], given[0] * given[1], *given[10:12]
    slopes, slopes_alpha = _tensor(v_colors, images, height, width, 4), _tensor(v_alphas, images, height, width)
    assert v_abs == 0 and _at(last, (images, height, width), np.int32) is not None
    leaves, shown = _blended(*given)
    drawn = _at(alphas, (images, height, width))
    total = torch.zeros((), dtype=torch.float64)
    for window, color, alpha in shown:
        assert np.allclose(drawn[window], alpha.detach().numpy(), atol=1e-6)
        total = total + (color * slopes[window]).sum() + (alpha * slopes_alpha[window]).sum()
    found = torch.autograd.grad(total, leaves)
    for address, k, value in zip(targets, (2, 3, 4, 1), found, strict=True):
        _at(address, (count, k))[...] += value.numpy()
