"""gsplat's kernels without a toolkit: compiled when the extension is packaged, launched through NVIDIA's driver.

:mod:`.front` is the door. :mod:`.csrc` stands in for gsplat's compiled half, :mod:`.driver` launches, :mod:`.binary` is
the file of kernels, :mod:`.signatures` what they take.
"""
