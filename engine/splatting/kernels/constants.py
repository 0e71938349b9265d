"""Numbers that every rasteriser backend shares. Source of all: gsplat 1.5.3's kernels (``gsplat/cuda/csrc``).

Numba compiles them into the CPU kernels; its cache looks at this whole folder (see :mod:`engine.kernels`).
"""

ALPHA_CAP = 0.999
"""Largest alpha of one Gaussian at one pixel; above it no gradient flows to opacity and shape."""

ALPHA_MIN = 1.0 / 255.0
"""A Gaussian is skipped at pixels where its alpha is below this."""

TRANSMITTANCE_MIN = 1e-4
"""A pixel is finished before the Gaussian that would bring its transmittance to this or below."""

EPS2D = 0.3
"""Low-pass: square pixels added to both variances of every projected Gaussian."""

FRUSTUM_MARGIN = 0.3
"""The projection's Jacobian is taken at most this share of half the field of view outside the image."""

FAR_PLANE = 1e10
"""Metres along z behind which Gaussians are culled."""

TILE = 16
"""Edge of a tile in pixels; one tile row fills an AVX-512 register."""
