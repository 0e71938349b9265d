"""The CPU rasteriser's kernels, compiled by numba."""
