"""Compiled kernels are kept where that is possible, under short names, and work where it is not."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from numba.core import config

from engine import caches, kernels

ROOT = Path(__file__).resolve().parents[2]

# Functions of a moment each: what is tested is how they are kept. test_vectors.py keeps those of the engine.
COUNT = 8
KERNELS = "from engine import kernels\n" + "\n".join(
    f"@kernels.njit()\ndef kernel_{number}(x):\n    return x + {number}" for number in range(COUNT)
)
SCRIPT = """
import os, sys, toy
if sys.argv[1] == "vanish":
    import shutil
    shutil.rmtree(os.environ["NUMBA_CACHE_DIR"])
    open(os.environ["NUMBA_CACHE_DIR"], "w").close()
made = [kernel for name, kernel in vars(toy).items() if name.startswith("kernel_")]
assert [kernel(1) for kernel in made] == [1 + number for number in range(len(made))]
print(sum(sum(kernel.stats.cache_hits.values()) for kernel in made), sum(bool(kernel.signatures) for kernel in made))
"""


def run(folder: Path, mode: str = "") -> list[int]:
    """How many kernels came from the cache, and how many there are."""
    (folder / "toy.py").write_text(KERNELS)
    os.utime(folder / "toy.py", (1e9, 1e9))  # or it would count as changed
    search = os.pathsep.join((str(folder), str(ROOT)))
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": search}
    words = [sys.executable, "-c", SCRIPT, mode]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return [int(word) for word in said.stdout.split()]


@pytest.mark.slow
def test_a_cache_that_vanishes_costs_time_only(tmp_path):
    (tmp_path / "cache").mkdir()
    assert run(tmp_path, "vanish")[1] == COUNT


@pytest.mark.slow
def test_a_damaged_cache_costs_time_only(tmp_path):
    """What it holds is machine code: even one altered byte of it must be noticed before it is run."""
    assert run(tmp_path) == [0, COUNT]
    for number, path in enumerate(sorted(tmp_path.rglob("*.nb*"))):
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        match number % 4:
            case 0:
                content.clear()
            case 1:
                del content[40:]
            case 2:
                content[:] = bytes(len(content))
            case 3:
                content[middle] ^= 0xFF
        path.write_bytes(content)
    assert run(tmp_path) == [0, COUNT]
    assert run(tmp_path) == [COUNT, COUNT]  # what was damaged was replaced


def test_where_nothing_else_can_be_written_the_users_own_folder_keeps_the_kernels(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(config, "CACHE_DIR", "")  # as where NUMBA_CACHE_DIR names none
    monkeypatch.setattr(kernels.InTreeCacheLocator, "ensure_cache_path", lambda self: os.listdir("/nowhere"))
    monkeypatch.setattr(kernels._Own, "ensure_cache_path", kernels._Flat.ensure_cache_path)
    function = kernels.njit()(lambda x: x + 1)
    assert function(1) == 2
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("gaussian_heads_cache_") and list(folder.rglob("*.nbc"))


@pytest.mark.skipif(os.name == "nt", reason="There the temporary folder is the user's own.")
def test_a_folder_that_somebody_else_could_fill_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    caches.own_folder().chmod(0o777)
    with pytest.raises(PermissionError):
        caches.own_folder()
