"""Compiled kernels are kept where that is possible, under short names, and work where it is not."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from engine import caches, kernels

pytestmark = pytest.mark.slow

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
from engine.splatting.kernels import tiles as numba_tiles
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


def test_a_cache_that_vanishes_costs_time_only(tmp_path):
    assert run(tmp_path, "vanish")[1] > 0


def test_a_damaged_cache_costs_time_only(tmp_path):
    """What it holds is machine code: even one altered byte of it must be noticed before it is run."""
    _, compiled = run(tmp_path)
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
    assert run(tmp_path) == [0, compiled]
    loaded, _ = run(tmp_path)
    assert loaded > 0  # and what was damaged was replaced


def test_where_nothing_else_can_be_written_the_users_own_folder_keeps_the_kernels(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
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
