"""Compiled kernels are kept where that is possible, under short names, and work where it is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys
from engine.splatting import warm_up
from engine import kernels
if sys.argv[1] == "vanish":
    import shutil
    shutil.rmtree(os.environ["NUMBA_CACHE_DIR"])
    open(os.environ["NUMBA_CACHE_DIR"], "w").close()
warm_up()
assert kernels.threading_layer() in ("omp", "tbb", "workqueue")
from engine.splatting.backends import numba_tiles
compiled = [f for f in vars(numba_tiles).values() if hasattr(f, "stats")]
print(sum(sum(f.stats.cache_hits.values()) for f in compiled), sum(bool(f.signatures) for f in compiled))
"""


def run(cache: Path, mode: str = "") -> list[int]:
    """How many kernels came from the cache, and how many there are."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    words = [sys.executable, "-c", SCRIPT, mode]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return [int(word) for word in said.stdout.split()]


def test_the_second_process_compiles_nothing_and_names_stay_short(tmp_path):
    """Windows opens no path of 260 characters; the cache's own part of it is bounded here."""
    loaded, compiled = run(tmp_path)
    assert loaded == 0 < compiled
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert max(len(str(path.relative_to(tmp_path))) for path in files) + len(".tmp.0123456789abcdef") <= 45
    loaded, _ = run(tmp_path)
    assert loaded > 0
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(files)


@pytest.mark.parametrize("harm", ["truncated", "vanished"])
def test_a_cache_that_cannot_be_read_or_written_costs_time_only(tmp_path, harm):
    if harm == "truncated":
        run(tmp_path)
        for path in tmp_path.rglob("*.nb*"):
            path.write_bytes(path.read_bytes()[:40])
        assert run(tmp_path)[1] > 0
    else:
        assert run(tmp_path, "vanish")[1] > 0
