"""A run that is killed, stopped, or out of disk loses nothing; what is damaged is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.errors import EngineError, OutputError
from engine.progress import Progress
from engine.training.checkpoint import PREVIOUS, STATE
from engine.training.config import TrainConfig
from engine.training.loop import Stopped, train
from tests.engine.training.run import Linear

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("run.py")
# Windows has no signals: a killed process has an exit code like any other.
KILLED = {-signal.SIGKILL} if os.name == "posix" else {1, signal.SIGTERM}
CONFIG = TrainConfig("linear", Path(), steps=120, threads=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happened to: its folder and the network's last weights."""
    folder = tmp_path_factory.mktemp("whole")
    objective = Linear()
    train(replace(CONFIG, out=folder), objective)
    return folder, objective.network.state_dict()


def start(folder: Path, **choices: float) -> subprocess.Popen:
    settings = {"steps": 120, "checkpoint_seconds": 0.03}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), json.dumps(settings), json.dumps(choices)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def rows(folder: Path) -> list[dict]:
    """The log's whole lines, without the time."""
    lines = (folder / "metrics.jsonl").read_text("utf-8").rpartition("\n")[0].splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def same(folder: Path, whole: tuple[Path, dict[str, torch.Tensor]], network: dict[str, torch.Tensor]) -> None:
    """Bit by bit: the network, its average, the log."""
    torch.testing.assert_close(network, whole[1], atol=0, rtol=0)
    for name in ("weights.safetensors", STATE):
        torch.testing.assert_close(load_file(folder / name), load_file(whole[0] / name), atol=0, rtol=0)
    assert rows(folder) == rows(whole[0])


@pytest.mark.slow
def test_a_run_killed_twice_is_the_run_that_was_not_killed(whole, tmp_path):
    assert start(tmp_path, kill_at=50, pause=0.005).wait(60) in KILLED
    logged = rows(tmp_path)[-1]["step"]
    process = start(tmp_path, pause=0.005)
    until = time.monotonic() + 60
    while rows(tmp_path)[-1]["step"] <= logged and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    assert process.wait(60) in KILLED
    assert rows(tmp_path)[-1]["step"] < 120
    assert start(tmp_path).wait(60) == 0
    same(tmp_path, whole, load_file(tmp_path / "rank0.safetensors"))


@pytest.mark.slow
def test_a_stopped_run_goes_on(whole, tmp_path):
    config = replace(CONFIG, out=tmp_path)
    asked = iter(range(70))
    with pytest.raises(Stopped, match="The same command goes on"):
        train(config, Linear(), progress=Progress(is_cancelled=lambda: next(asked, None) is None))
    objective = Linear()
    train(config, objective)
    same(tmp_path, whole, objective.network.state_dict())


def heavy() -> Linear:
    """A network of 1.2 MB."""
    objective = Linear()
    objective.network.register_buffer("ballast", torch.zeros(300_000))
    return objective


@pytest.mark.slow
def test_a_full_disk_leaves_the_checkpoint_before(whole, tmp_path):
    resource = pytest.importorskip("resource", reason="this system cannot limit what a process writes")
    config = replace(CONFIG, out=tmp_path, steps=60)
    train(config, heavy())
    before = (tmp_path / STATE).read_bytes()
    longer = replace(config, steps=120)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="the disk is full"):
            train(longer, heavy())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / PREVIOUS).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir() if path.name.endswith("safetensors")} == {
        PREVIOUS, "weights.safetensors",
    }  # fmt: skip
    train(longer, heavy())
    assert [row["step"] for row in rows(tmp_path)] == [row["step"] for row in rows(whole[0])]


@pytest.mark.parametrize("damage", ["cut", "other network", "no metadata"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_serves(tmp_path, damage):
    config = replace(CONFIG, out=tmp_path, steps=40)
    train(config, Linear())
    train(replace(config, steps=60), Linear())
    state, whole = tmp_path / STATE, (tmp_path / STATE).read_bytes()
    objective = Linear()
    if damage == "cut":
        state.write_bytes(whole[:-100])
    elif damage == "no metadata":
        state.write_bytes((tmp_path / "weights.safetensors").read_bytes())
    else:
        objective = Linear(regular=False)
    bytes_before = state.read_bytes()
    with pytest.raises(EngineError, match=f"damaged.*{PREVIOUS}"):
        train(replace(config, steps=80), objective)
    assert state.read_bytes() == bytes_before
    state.unlink()
    lines: list[str] = []
    train(replace(config, steps=80), Linear(), lines.append)
    assert lines[-1].startswith("step 80,")
