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

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("processor", ["generic", "haswell"])
def test_older_processors_draw_the_same_picture(processor, tmp_path):
    """Compiled for them; their own lanes are four and eight wide."""
    test = "tests/engine/splatting/test_rasterization.py::test_image_and_gradients_equal_the_specification"
    environment = os.environ | {"NUMBA_CPU_NAME": processor, "NUMBA_CACHE_DIR": str(tmp_path)}
    if processor == "generic":
        environment["NUMBA_CPU_FEATURES"] = ""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{test}[0-1.0]"]
    run = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
