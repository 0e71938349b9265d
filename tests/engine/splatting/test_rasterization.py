"""The CPU rasteriser against its float64 specification, and the specification against gsplat."""

import inspect
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings, strategies as st

from engine.benchmark import cpu
from engine.models.kit import scene
from engine.splatting import rasterization, reference
from engine.splatting.backends import gsplat_backend
from engine.splatting.kernels.constants import ALPHA_CAP, ALPHA_MIN, EPS2D, TRANSMITTANCE_MIN

INPUTS = ("means", "quats", "scales", "opacities", "colors", "viewmats")
WIDTH, HEIGHT = 61, 39


def random_scene(seed: int, n: int = 150, needle: float = 1.0) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Gaussians of all sizes and opacities 0.0001..0.9999 seen by two cameras, the second one among them."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    viewmats = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    viewmats[:, 2, 3] = torch.tensor([2.0, 0.3])
    viewmats[1, :3, :3] = reference.rotation_matrices(normal(1, 4))[0]
    K = torch.tensor([[60.0, 0.0, 33.0], [0.0, 55.0, 18.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    gaussians = [
        normal(n, 3) * torch.tensor([0.8, 0.8, 0.6]),
        normal(n, 4) * 3.0,
        torch.exp(normal(n, 3) * needle - 2.5),
        torch.sigmoid(normal(n) * 4.0),
        torch.rand(n, 3, generator=generator, dtype=torch.float64),
    ]
    return [x.float().double() for x in (*gaussians, viewmats)], K.repeat(2, 1, 1)


def rendered(inputs: list[torch.Tensor], Ks: torch.Tensor, **options: torch.Tensor) -> tuple:
    return rasterization(*(x.float() for x in inputs), Ks.float(), WIDTH, HEIGHT, **options)


@pytest.mark.parametrize(("seed", "needle"), [(0, 1.0), (1, 1.0), (2, 0.2), (3, 2.5)])
def test_image_and_gradients_equal_the_specification(seed, needle):
    inputs, Ks = random_scene(seed, needle=needle)
    backgrounds = torch.tensor([[0.2, 0.5, 0.9], [1.0, 0.0, 0.3]], dtype=torch.float64)
    slow = [x.clone().requires_grad_() for x in inputs]
    fast = [x.float().requires_grad_() for x in inputs]
    slow_renders, slow_alphas = reference.rasterization(*slow, Ks, WIDTH, HEIGHT, backgrounds=backgrounds)
    renders, alphas, meta = rasterization(*fast, Ks.float(), WIDTH, HEIGHT, backgrounds=backgrounds.float())

    assert (meta["radii"] > 0).all(-1).sum(-1).min() > 10
    assert slow_alphas.max() > 0.99
    assert (renders - slow_renders).abs().max() < 1e-4
    assert (alphas - slow_alphas).abs().max() < 1e-4

    generator = torch.Generator().manual_seed(seed)
    d_renders = torch.randn(slow_renders.shape, generator=generator, dtype=torch.float64)
    d_alphas = torch.randn(slow_alphas.shape, generator=generator, dtype=torch.float64)
    ((slow_renders * d_renders).sum() + (slow_alphas * d_alphas).sum()).backward()
    ((renders * d_renders).sum() + (alphas * d_alphas).sum()).backward()
    for name, expected, actual in zip(INPUTS, slow, fast, strict=True):
        assert expected.grad.abs().max() > 0.0, name
        error = (actual.grad - expected.grad).norm() / expected.grad.norm()
        assert error < 1e-4, (name, float(error))


@pytest.mark.slow
def test_specification_gradients_equal_finite_differences():
    inputs, Ks = random_scene(4, n=4)
    inputs[0] *= 0.2
    inputs[3] = torch.tensor([0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    inputs[2] = inputs[2].clamp(min=0.3)  # wide enough for no pixel to sit at the cut-off within the step
    inputs[5] = inputs[5][:1]
    inputs = [x.requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(lambda *x: reference.rasterization(*x, Ks[:1], 5, 4), inputs)


def test_projection_equals_gsplat():
    twin = pytest.importorskip("gsplat.cuda._torch_impl")  # gsplat's kernels need a GPU, their PyTorch twins do not
    inputs, Ks = random_scene(5, n=400)
    means, quats, scales, _, colors, viewmats = inputs
    opacities = torch.ones(400, dtype=torch.float64)
    covariances, _ = twin._quat_scale_to_covar_preci(quats, scales, True, False)
    radii, means2d, depths, conics, _ = twin._fully_fused_projection(means, covariances, viewmats, Ks, WIDTH, HEIGHT)
    _, _, meta = rendered([means, quats, scales, opacities, colors, viewmats], Ks)
    for c in range(2):
        flat = reference.project(means, quats, scales, opacities, colors, viewmats[c], Ks[c], WIDTH, HEIGHT, 0.01)
        kept = (radii[c] > 0).all(-1)
        assert kept.sum() > 50
        assert flat.kept[kept].all()
        inverse = torch.linalg.inv(flat.covariances[kept])
        ours = torch.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], -1)
        torch.testing.assert_close(flat.means2d[kept], means2d[c, kept])
        torch.testing.assert_close(flat.depths[kept], depths[c, kept])
        torch.testing.assert_close(ours, conics[c, kept], rtol=1e-6, atol=1e-9)

        drawn = (meta["radii"][c] > 0).all(-1)
        assert not (drawn & ~kept).any()
        assert (kept & ~drawn).sum() <= 0.1 * kept.sum()  # gsplat rounds radii up, so it keeps some that touch no pixel
        torch.testing.assert_close(meta["means2d"][c, drawn].double(), means2d[c, drawn], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(meta["depths"][c, drawn].double(), depths[c, drawn], rtol=1e-6, atol=1e-6)
        assert (meta["radii"][c, drawn] - radii[c, drawn]).abs().max() <= 1 + 0.001 * radii[c, drawn].max()


def test_blend_equals_the_pixel_loop_of_gsplats_kernel():
    """Written after ``RasterizeToPixels3DGSFwd.cu``, pixel by pixel."""
    size, n = 12, 40
    generator = torch.Generator().manual_seed(6)
    means2d = torch.rand(n, 2, generator=generator) * size
    spread = 1.0 + 2.0 * torch.rand(n, generator=generator)
    opacities = 0.5 + 0.5 * torch.rand(n, generator=generator)
    opacities[::3] = 1.0  # reach the cap
    depths = 1.0 + torch.arange(n) / n
    colors = torch.rand(n, 3, generator=generator)
    K = torch.tensor([[100.0, 0.0, size / 2], [0.0, 100.0, size / 2], [0.0, 0.0, 1.0]])
    means = torch.cat([(means2d - size / 2) / 100.0 * depths[:, None], depths[:, None]], -1)
    # flat and near the optical axis: the projected covariance is all but (spread² + eps) I
    scales = (spread * depths / 100.0)[:, None] * torch.tensor([1.0, 1.0, 1e-4])
    quats = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(n, 4)
    renders, alphas, _ = rasterization(means, quats, scales, opacities, colors, torch.eye(4)[None], K[None], size, size)

    finished = 0
    for y in range(size):
        for x in range(size):
            transmittance, color = 1.0, torch.zeros(3)
            for g in range(n):
                dx, dy = float(means2d[g, 0]) - (x + 0.5), float(means2d[g, 1]) - (y + 0.5)
                sigma = 0.5 * (dx * dx + dy * dy) / (float(spread[g]) ** 2 + EPS2D)
                alpha = min(ALPHA_CAP, float(opacities[g]) * math.exp(-sigma))
                if alpha < ALPHA_MIN:
                    continue
                after = transmittance * (1.0 - alpha)
                if after <= TRANSMITTANCE_MIN:
                    finished += 1
                    break
                color += alpha * transmittance * colors[g]
                transmittance = after
            torch.testing.assert_close(renders[0, y, x, :3], color, rtol=0.0, atol=2e-4)
            assert abs(float(alphas[0, y, x, 0]) - (1.0 - transmittance)) < 2e-4
    assert finished > 20


def test_what_cannot_be_drawn_is_left_out():
    inputs, Ks = random_scene(7, n=40)
    hostile = [torch.cat([x, x[:8]]) for x in inputs[:5]]
    hostile[0][40], hostile[0][41, 2] = math.nan, math.inf
    hostile[1][42], hostile[1][43, 1] = 0.0, math.nan
    hostile[2][44, 0], hostile[3][45], hostile[4][46, 2] = math.inf, math.nan, math.nan
    hostile[0][47] = torch.tensor([0.0, 0.0, -50.0])  # behind the camera
    viewmats = inputs[5][:1]
    fast = [x.float().requires_grad_() for x in (*hostile, viewmats)]
    renders, alphas, meta = rasterization(*fast, Ks[:1].float(), WIDTH, HEIGHT)
    clean, clean_alphas, _ = rendered([*inputs[:5], viewmats], Ks[:1])
    assert torch.equal(renders, clean)
    assert torch.equal(alphas, clean_alphas)
    assert (meta["radii"][0, 40:] == 0).all()
    (renders.sum() + alphas.sum()).backward()
    for name, x in zip(INPUTS, fast, strict=True):
        assert x.grad.isfinite().all(), name
        assert name == "viewmats" or (x.grad[40:] == 0.0).all(), name

    visible = torch.arange(40) % 3 > 0
    masked, _, _ = rendered([*inputs[:5], viewmats], Ks[:1], visible=visible)
    chosen, _, _ = rendered([*(x[visible] for x in inputs[:5]), viewmats], Ks[:1])
    assert torch.equal(masked, chosen)


def test_no_gaussians_show_the_background():
    inputs, Ks = random_scene(8, n=0)
    backgrounds = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    renders, alphas, meta = rendered(inputs, Ks, backgrounds=backgrounds)
    assert torch.equal(renders[..., :3], backgrounds[:, None, None].expand(2, HEIGHT, WIDTH, 3))
    assert not renders[..., 3].any() and not alphas.any()
    assert meta["radii"].shape == (2, 0, 2)


def test_huge_splat_fills_the_image_evenly():
    one = torch.ones(1, 3)
    K = torch.tensor([[1000.0, 0.0, 25.0], [0.0, 1000.0, 10.0], [0.0, 0.0, 1.0]])
    means, quats = torch.tensor([[0.0, 0.0, 0.02]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    _, alphas, _ = rasterization(
        means, quats, one * 1000.0, torch.tensor([0.5]), one, torch.eye(4)[None], K[None], 50, 20
    )
    torch.testing.assert_close(alphas, torch.full_like(alphas, 0.5))


def test_cameras_do_not_influence_each_other():
    inputs, Ks = random_scene(9)
    together, _, _ = rendered(inputs, Ks)
    for c in range(2):
        alone, _, _ = rendered([*inputs[:5], inputs[5][c : c + 1]], Ks[c : c + 1])
        assert torch.equal(together[c], alone[0])


def test_runs_and_threads_are_bit_equal():
    inputs, Ks = random_scene(10, n=2000)

    def run(_: int) -> list[torch.Tensor]:
        fast = [x.float().requires_grad_() for x in inputs]
        renders, alphas, _ = rasterization(*fast, Ks.float(), WIDTH, HEIGHT)
        (renders.square().sum() + alphas.sum()).backward()
        return [renders.detach(), *(x.grad for x in fast)]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(run, range(8))
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 60))
def test_order_of_gaussians_does_not_matter_and_alpha_stays_in_range(seed, n):
    inputs, Ks = random_scene(seed, n=n)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    renders, alphas, _ = rendered(inputs, Ks)
    shuffled, _, _ = rendered([*(x[order] for x in inputs[:5]), inputs[5]], Ks)
    assert torch.equal(renders, shuffled)
    assert alphas.min() >= 0.0 and alphas.max() <= 1.0

    inputs[3] = torch.zeros(n)
    backgrounds = torch.rand(2, 3, generator=torch.Generator().manual_seed(seed))
    renders, alphas, _ = rendered(inputs, Ks, backgrounds=backgrounds)
    assert torch.equal(renders[..., :3], backgrounds[:, None, None].expand(2, HEIGHT, WIDTH, 3))
    assert not alphas.any()


def test_benchmarks_opponent_draws_the_same_image():
    splats = scene.head_shell(3000)
    viewmats, Ks = scene.portrait_camera(96)
    values = (splats.means, splats.quats, splats.scales, splats.opacities, splats.colors)
    renders, _, _ = rasterization(*values, viewmats, Ks, 96, 96)
    plain = cpu.tiled_torch(splats, viewmats[0], Ks[0], 96)
    differs = (plain - renders[0]).abs().amax(-1)
    assert differs.max() < 0.01  # float32 on both sides: a splat at its cut-off may fall either way
    assert differs.mean() < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="gsplat needs a CUDA device")
def test_gsplat_backend_equals_the_specification():
    inputs, Ks = random_scene(0)
    backgrounds = torch.tensor([[0.2, 0.5, 0.9], [1.0, 0.0, 0.3]])
    slow = [x.clone().requires_grad_() for x in inputs]
    fast = [x.float().cuda().requires_grad_() for x in inputs]
    slow_renders, slow_alphas = reference.rasterization(*slow, Ks, WIDTH, HEIGHT, backgrounds=backgrounds.double())
    renders, alphas, _ = rasterization(*fast, Ks.float().cuda(), WIDTH, HEIGHT, backgrounds=backgrounds.cuda())
    assert (renders.cpu() - slow_renders).abs().max() < 1e-3
    (slow_renders.sum() + slow_alphas.sum()).backward()
    (renders.sum() + alphas.sum()).backward()
    for name, expected, actual in zip(INPUTS, slow, fast, strict=True):
        error = (actual.grad.cpu() - expected.grad).norm() / expected.grad.norm()
        assert error < 1e-2, (name, float(error))


def test_gsplat_backend_calls_gsplats_signature(monkeypatch):
    gsplat = pytest.importorskip("gsplat")
    seen = {}
    signature = inspect.signature(gsplat.rasterization)

    def fake(*args, **options):
        seen.update(signature.bind(*args, **options).arguments)
        zero = torch.zeros(2, 5)
        return zero, zero, {"radii": zero, "means2d": zero, "depths": zero}

    monkeypatch.setattr(gsplat_backend, "front", lambda: fake)
    inputs, Ks = random_scene(11, n=5)
    inputs[0][1, 0] = math.nan
    visible = torch.tensor([True, True, False, True, True])
    gsplat_backend.rasterize(*inputs, Ks, 8, 9, near_plane=0.01, backgrounds=None, visible=visible)
    assert seen["render_mode"] == "RGB+D" and (seen["width"], seen["height"]) == (8, 9)
    assert torch.equal(seen["opacities"] > 0.0, torch.tensor([True, False, False, True, True]))
