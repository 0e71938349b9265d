"""How the engine shares the cores with numba's threads and with whatever else the artist runs."""

from __future__ import annotations

import os


def share_cores() -> None:
    """Give torch half of the cores; numba's kernels take all of them in between.

    Torch's small operations end in a barrier, and a barrier waits a whole time slice for any thread that was preempted:
    with every core in use elsewhere a step of the refinement took 2.4 s instead of 0.2 s.
    """
    import torch  # late: the server says it in its own way when torch cannot be loaded

    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
