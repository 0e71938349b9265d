"""Gaussian splatting with gradients: one call, :func:`rasterization`, on whatever device the Gaussians are."""

from __future__ import annotations

import torch

from engine.splatting.backends import backend_for


def rasterization(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    colors: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    width: int,
    height: int,
    *,
    near_plane: float = 0.01,
    backgrounds: torch.Tensor | None = None,
    visible: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Render N Gaussians to C pinhole cameras (3D Gaussian splatting, arXiv 2308.04079).

    Shaped like ``gsplat.rasterization(render_mode="RGB+D")`` and equal to it in its constants and its culling. The
    tensors' device says who draws (CUDA: gsplat, CPU: numba kernels); all are differentiable in everything but ``Ks``
    and ``visible``. Gaussians with a NaN or infinite value are left out. The CPU backend is deterministic bit by bit,
    whatever the number of threads.

    Args:
        means: [N, 3] metres. quats: [N, 4] wxyz, of any length but 0. scales: [N, 3] metres, linear.
        opacities: [N] 0..1. colors: [N, 3] display-referred sRGB 0..1.
        viewmats: [C, 4, 4] world to camera, OpenCV axes. Ks: [C, 3, 3] in pixels, pixel centres at +0.5.
        width, height: image size in pixels.
        near_plane: metres, positive; Gaussians whose centre is nearer are left out.
        backgrounds: [C, 3] colour behind everything; black when None.
        visible: [N] bool, False leaves a Gaussian out; all are drawn when None.

    Returns:
        ``renders`` [C, H, W, 4]: red, green, blue and accumulated depth (sum of weight · z, metres; divide by alpha for
        the expected depth). ``alphas`` [C, H, W, 1] 0..1. ``meta``, without gradients: ``radii`` int32 [C, N, 2] half
        extents in pixels, 0 where a Gaussian was left out; ``means2d`` [C, N, 2] pixels and ``depths`` [C, N] metres,
        meaningful only where it was not.

    Raises:
        EngineError: nothing draws on the tensors' device, or gsplat, its kernels or NVIDIA's driver are missing.

    Example:
        >>> n = 100
        >>> viewmat = torch.eye(4)
        >>> viewmat[2, 3] = 3.0
        >>> K = torch.tensor([[300.0, 0.0, 150.0], [0.0, 300.0, 100.0], [0.0, 0.0, 1.0]])
        >>> renders, alphas, meta = rasterization(
        ...     torch.randn(n, 3), torch.randn(n, 4), torch.rand(n, 3) * 0.1, torch.rand(n), torch.rand(n, 3),
        ...     viewmat[None], K[None], 300, 200)
        >>> renders.shape
        torch.Size([1, 200, 300, 4])
    """
    n, c = len(means), len(viewmats)
    assert means.shape == (n, 3), means.shape
    assert quats.shape == (n, 4), quats.shape
    assert scales.shape == (n, 3), scales.shape
    assert opacities.shape == (n,), opacities.shape
    assert colors.shape == (n, 3), colors.shape
    assert viewmats.shape == (c, 4, 4), viewmats.shape
    assert Ks.shape == (c, 3, 3), Ks.shape
    assert backgrounds is None or backgrounds.shape == (c, 3), backgrounds.shape
    assert visible is None or visible.shape == (n,), visible.shape
    assert near_plane > 0.0, near_plane
    return backend_for(means.device.type).rasterize(
        means,
        quats,
        scales,
        opacities,
        colors,
        viewmats,
        Ks,
        width,
        height,
        near_plane=near_plane,
        backgrounds=backgrounds,
        visible=visible,
    )


def warm_up() -> None:
    """Compile the CPU kernels, or load them from numba's cache, so that the first image does not wait for it."""
    renders, _, _ = rasterization(
        means=torch.ones(1, 3, requires_grad=True),
        quats=torch.ones(1, 4),
        scales=torch.ones(1, 3),
        opacities=torch.ones(1),
        colors=torch.ones(1, 3),
        viewmats=torch.eye(4)[None],
        Ks=torch.eye(3)[None],
        width=1,
        height=1,
    )
    renders.sum().backward()
