"""The vectors' exponential and sum against numpy, and all kernels on the processors that artists may have."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from engine.splatting.kernels.vectors import WIDE, Lanes

ROOT = Path(__file__).parents[3]


@intrinsic
def _exp2_and_sum(typing, values, powers):
    def code(context, b, sig, args):
        lanes, start = Lanes(context, b), ir.Constant(ir.IntType(64), 0)
        power = lanes.exp2(lanes.load(lanes.at(sig.args[0], args[0], start)))
        lanes.store(power, lanes.at(sig.args[1], args[1], start))
        return lanes.total(power)

    return types.float32(values, powers), code


@njit
def exp2_and_sum(values, powers):
    return _exp2_and_sum(values, powers)


def test_powers_and_their_sum():
    for low in (-1e-3, -1.0, -20.0, -90.0):
        values = np.linspace(low, 0, WIDE, dtype=np.float32)
        powers = np.empty_like(values)
        total = exp2_and_sum(values, powers)
        np.testing.assert_allclose(powers, np.exp2(values.astype(np.float64)), rtol=4e-7)
        assert total == pytest.approx(float(powers.sum(dtype=np.float64)), rel=1e-6)
    exp2_and_sum(np.full(WIDE, -1e30, np.float32), powers)
    assert (powers < 1e-29).all() and (powers >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("processor", "again"), [("generic", True), ("haswell", False)])
def test_older_processors_draw_the_same_picture(processor, again, tmp_path):
    """Compiled for them; their own lanes are four and eight wide. A second process compiles nothing.

    Windows opens no path of 260 characters; the cache's own part of it is bounded here.
    """
    loaded, compiled = drawn(processor, tmp_path)
    assert loaded == 0 < compiled
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert max(len(str(path.relative_to(tmp_path))) for path in files) + len(".tmp.0123456789abcdef") <= 45
    if again:
        loaded, _ = drawn(processor, tmp_path)
        assert loaded > 0
        assert {path for path in tmp_path.rglob("*") if path.is_file()} == files


DRAW = """
import sys
import pytest
code = pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1]])
from engine import kernels
from engine.splatting.kernels import tiles
assert kernels.threading_layer() in ("omp", "tbb", "workqueue")
compiled = [f for f in vars(tiles).values() if hasattr(f, "stats")]
print(sum(sum(f.stats.cache_hits.values()) for f in compiled), sum(bool(f.signatures) for f in compiled))
sys.exit(code)
"""


def drawn(processor: str, cache: Path) -> list[int]:
    """Draw for a processor what the specification draws; how many kernels came from the cache, how many there are."""
    test = "tests/engine/splatting/test_rasterization.py::test_image_and_gradients_equal_the_specification[0-1.0]"
    environment = os.environ | {"NUMBA_CPU_NAME": processor, "NUMBA_CACHE_DIR": str(cache)}
    if processor == "generic":
        environment["NUMBA_CPU_FEATURES"] = ""
    words = [sys.executable, "-c", DRAW, test]
    run = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return [int(word) for word in run.stdout.splitlines()[-1].split()]
