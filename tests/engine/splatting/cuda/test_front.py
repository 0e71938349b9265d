"""gsplat's front on the kernels that the engine brings: what is launched, what comes of it, and which kernels count."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from torch.overrides import TorchFunctionMode

from engine import device
from engine.errors import EngineError
from engine.splatting import rasterization, reference
from engine.splatting.backends import gsplat_backend
from engine.splatting.cuda import binary, front
from tests.engine.splatting.test_rasterization import HEIGHT, INPUTS, WIDTH, random_scene

BACKGROUNDS = torch.tensor([[0.2, 0.5, 0.9], [1.0, 0.0, 0.3]])


def drawn(inputs, Ks, backgrounds=BACKGROUNDS, visible=None):
    return gsplat_backend.rasterize(
        *inputs, Ks.float(), WIDTH, HEIGHT, near_plane=0.01, backgrounds=backgrounds, visible=visible
    )


@pytest.mark.parametrize(("seed", "prepared"), [(0, "plain"), (1, "strided"), (2, "half")])
def test_values_and_gradients_equal_the_specification(card, seed, prepared):
    inputs, Ks = random_scene(seed, n=60)
    if prepared == "half":
        inputs = [x.half().double() for x in inputs]
    slow = [x.clone().requires_grad_() for x in inputs]
    fast = [x.half() if prepared == "half" else x.float() for x in inputs]
    if prepared == "strided":
        fast = [torch.stack([x, x + 9], -1)[..., 0] for x in fast]
    fast = [x.requires_grad_() for x in fast]
    assert fast[0].is_contiguous() == (prepared != "strided")
    slow_renders, slow_alphas = reference.rasterization(*slow, Ks, WIDTH, HEIGHT, backgrounds=BACKGROUNDS.double())
    renders, alphas, meta = drawn(fast, Ks)
    assert (renders - slow_renders).abs().max() < 1e-5 and (alphas - slow_alphas).abs().max() < 1e-5
    assert renders.dtype == torch.float32 and (meta["radii"] > 0).all(-1).sum() > 20

    slopes = torch.randn(renders.shape, generator=torch.Generator().manual_seed(seed))
    ((slow_renders * slopes).sum() + slow_alphas.sum()).backward()
    ((renders * slopes).sum() + alphas.sum()).backward()
    for name, expected, actual in zip(INPUTS, slow, fast, strict=True):
        error = (actual.grad - expected.grad).norm() / expected.grad.norm()
        assert error < (2e-3 if prepared == "half" else 1e-5), (name, float(error))


def test_every_launch_is_the_one_of_gsplats_own(card):
    inputs, Ks = random_scene(0, n=200)
    fast = [x.float().requires_grad_() for x in inputs]
    drawn(fast, Ks)[0].sum().backward()
    pairs = card.launches[3][1][0]
    each, tiles = (256, 1, 1), (2, 3, 4)  # images, rows and columns of tiles of 61 x 39 pixels
    assert card.launches == [
        ("projection_ewa_3dgs_fused_fwd_kernel", (2, 1, 1), each, 0),  # 2 cameras, 200 Gaussians
        ("intersect_tile_kernel", (2, 1, 1), each, 0),
        ("intersect_tile_kernel", (2, 1, 1), each, 0),
        ("intersect_offset_kernel", (pairs, 1, 1), each, 0),
        ("rasterize_to_pixels_3dgs_fwd_kernel", tiles, (16, 16, 1), 16 * 16 * (4 + 12 + 12)),
        ("rasterize_to_pixels_3dgs_bwd_kernel", tiles, (16, 16, 1), 16 * 16 * (4 + 12 + 12 + 16)),
        ("projection_ewa_3dgs_fused_bwd_kernel", (2, 1, 1), each, 0),
    ]


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_to_see_shows_the_background(card, n):
    inputs, Ks = random_scene(0, n=n)
    fast = [x.float().requires_grad_() for x in inputs]
    renders, alphas, meta = drawn(fast, Ks, visible=torch.zeros(n, dtype=torch.bool))
    assert torch.equal(renders[..., :3], BACKGROUNDS[:, None, None].expand(2, HEIGHT, WIDTH, 3))
    assert not renders[..., 3].any() and not alphas.any()
    assert [tuple(meta[name].shape) for name in ("radii", "means2d", "depths")] == [(2, n, 2), (2, n, 2), (2, n)]
    (renders.sum() + alphas.sum()).backward()
    assert all(x.grad.shape == x.shape and not x.grad.any() for x in fast)
    assert "rasterize_to_pixels_3dgs_bwd_kernel" not in [launch[0] for launch in card.launches]


def test_an_image_without_pixels_takes_no_card(card):
    inputs, Ks = random_scene(0, n=5)
    renders, _, _ = gsplat_backend.rasterize(
        *inputs, Ks.float(), 0, HEIGHT, near_plane=0.01, backgrounds=None, visible=None
    )
    assert renders.shape == (2, HEIGHT, 0, 4)


@pytest.mark.slow
def test_what_lies_elsewhere_comes_to_the_gaussians(monkeypatch):
    seen = []
    empty = dict.fromkeys(("radii", "means2d", "depths"), torch.zeros(2, 9))
    monkeypatch.setattr(gsplat_backend, "front", lambda: lambda *a, **k: (seen.extend([*a, *k.values()]), None, empty))
    gaussians = [torch.zeros(9, *rest, device="meta") for rest in ((3,), (4,), (3,), (), (3,))]
    views, backgrounds, visible = torch.zeros(2, 4, 4), torch.zeros(2, 3), torch.ones(9, dtype=torch.bool)
    gsplat_backend.rasterize(
        *gaussians, views, torch.zeros(2, 3, 3), 8, 8, near_plane=0.1, backgrounds=backgrounds, visible=visible
    )
    tensors = [x for x in seen if isinstance(x, torch.Tensor)]
    assert len(tensors) == 8 and {x.device.type for x in tensors} == {"meta"}


class OnTheProcessor(TorchFunctionMode):
    """Makes tensors of this card in the processor's memory."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if torch.device(kwargs.get("device", "cpu") or "cpu").type == "cuda":
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


def test_the_probe_chooses_this_card(card, monkeypatch):
    def there(means, quats, scales, opacities, colors, viewmats, Ks, width, height):
        draw = rasterization if len(calls) % 2 else on_card
        calls.append(1)
        return draw(means, quats, scales, opacities, colors, viewmats, Ks, width, height)

    def on_card(*values):
        return gsplat_backend.rasterize(*values, near_plane=0.01, backgrounds=None, visible=None)

    calls: list[int] = [1]  # the first picture is the processor's
    monkeypatch.setattr(device, "rasterization", there)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda which: "A card")
    with OnTheProcessor():
        found = device.find_gpu()
        assert (found.torch.type, found.name, found.backend, found.reason) == ("cuda", "A card", "gsplat", "")
        assert len(card.launches) == 7
        card.fails = {"cuLaunchKernel": 222}
        found = device.find_gpu()
    assert found.name == "cpu" and "older than the kernels" in found.reason


def test_the_first_kernels_that_there_are_count(fresh_front, monkeypatch, tmp_path):
    own = ModuleType(front.BACKEND)
    monkeypatch.setitem(sys.modules, front.BACKEND, own)
    for has_own, bundled, compiled, which in (
        (True, True, "theirs", "theirs"), (False, True, "theirs", "ours"), (False, False, "theirs", "theirs"),
    ):  # fmt: skip
        own._C = compiled
        monkeypatch.setattr(front, "_has_own", lambda has_own=has_own: has_own)
        monkeypatch.setattr(binary, "is_bundled", lambda bundled=bundled: bundled)
        front.front.cache_clear()
        assert callable(front.front())
        from gsplat.cuda._backend import _C

        assert _C == compiled if which == "theirs" else _C is front.csrc, (has_own, bundled)
        sys.modules[front.BACKEND] = own


@pytest.mark.parametrize(
    ("compiled", "said"), [("none", "neither bundled nor compiled"), ("fails", "ImportError|Module")]
)
def test_without_kernels_the_way_to_some_is_told(fresh_front, monkeypatch, compiled, said):
    monkeypatch.setattr(binary, "is_bundled", lambda: False)
    stand_in = ModuleType(front.BACKEND)
    stand_in._C = None
    monkeypatch.setitem(sys.modules, front.BACKEND, stand_in if compiled == "none" else None)
    with pytest.raises(EngineError, match=said) as raised:
        front.front()
    assert "CUDA edition" in raised.value.hint and "nvcc, ninja and a C++ compiler" in raised.value.hint


def test_gsplat_itself_is_named_where_it_is_missing(fresh_front, monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(EngineError, match="gsplat is not installed"):
        front.front()
