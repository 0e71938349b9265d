"""Does the loop learn, end, skip and share; the stand-in objective is in ``run.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from engine.cli import main
from engine.errors import EngineError
from engine.models.kit.tokens import LearnedUVTokens
from engine.training.config import TrainConfig
from engine.training.loop import decay_groups, train
from tests.engine.training.run import TRUE, Linear

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("run.py")


def provenance(weights: Path) -> dict:
    with safe_open(weights, framework="pt") as file:
        return json.loads(file.metadata()["provenance"])


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.slow
def test_a_known_map_is_learned_and_the_weights_say_where_they_are_from(tmp_path):
    config = TrainConfig(
        "linear", tmp_path / "new" / "run", steps=600, learning_rate=0.05, seed=3, batch_size=8, variant={"bend": "no"}
    )
    lines: list[str] = []
    weights = train(config, Linear(regular=False), lines.append)
    learned = load_file(weights)
    assert {t.dtype for t in learned.values()} == {torch.float16}
    torch.testing.assert_close(learned["0.weight"].float(), TRUE, atol=0.01, rtol=0)
    torch.testing.assert_close(learned["0.bias"].float(), torch.zeros(2), atol=0.01, rtol=0)
    about = provenance(weights)
    assert (about["system"], about["preset"], about["variant"]) == ("linear", "small", {"bend": "no"})
    assert (about["steps"], about["samples"], about["seed"], about["skipped"]) == (600, 4800, 3, 0)
    assert about["torch"] == torch.__version__
    log = rows(config.out)
    assert [row["step"] for row in log] == list(range(20, 601, 20))
    assert log[0]["total"] > 2 > 0.05 > log[-1]["total"]
    assert log[-1]["total"] == pytest.approx(log[-1]["near"] + log[-1]["far"])  # metrics are no part of it
    assert about["losses"]["total"] == log[-1]["total"]
    assert lines[-1].startswith("step 600, 100.0 %")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(config.out / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("total")] == [row["step"] for row in log]


def test_buffers_and_integers_keep_their_type(tmp_path):
    learned = load_file(train(TrainConfig("linear", tmp_path, steps=30), Linear()))
    assert learned["0.num_batches_tracked"].dtype == torch.int64
    assert int(learned["0.num_batches_tracked"]) == 30
    assert learned["0.running_var"].dtype == torch.float32
    assert learned["0.weight"].dtype == torch.float16


def test_the_rate_rises_then_falls_to_two_per_cent():
    config = TrainConfig("linear", Path("x"), steps=1000, minutes=10, learning_rate=1.0)
    rates = [config.rate(i / 1000) for i in range(1001)]
    assert rates.index(max(rates)) == 30
    assert rates[0] == 0
    assert rates[30] == pytest.approx(1)
    assert rates[-1] == pytest.approx(0.02)
    assert rates[515] == pytest.approx(0.51)  # half-way down the cosine
    assert config.fraction(100, 300) == 0.5  # the clock is further
    assert config.fraction(700, 300) == 0.7


def test_a_run_by_the_clock_ends_and_is_then_finished(tmp_path):
    config = TrainConfig("linear", tmp_path, minutes=0.005)
    weights = train(config, Linear())
    steps = provenance(weights)["steps"]
    assert steps > 0
    assert provenance(train(config, Linear()))["steps"] == steps


def test_steps_that_are_not_finite_are_skipped(tmp_path):
    config = TrainConfig("linear", tmp_path / "a", steps=40)
    weights = train(config, Linear(broken=10))
    assert provenance(weights)["skipped"] == 5
    assert all(torch.isfinite(t).all() for t in load_file(weights).values())
    with pytest.raises(EngineError, match="no finite loss for 4 steps.*--learning-rate"):
        train(replace(config, out=tmp_path / "b", patience=4), Linear(broken=10))


def test_a_card_that_is_too_small_ends_the_run_with_its_state_from_which_another_device_goes_on(tmp_path):
    class Full(Linear):
        def forward(self, batch, step):
            if step == 3:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")
            return super().forward(batch, step)

    config, lines = TrainConfig("linear", tmp_path, steps=5, say_seconds=0), []
    with pytest.raises(EngineError, match="memory does not suffice") as told:
        train(config, Full())
    assert "--device cpu" in told.value.hint
    train(replace(config, device="cpu"), Linear(), lines.append)
    assert lines[0] == "Training on cpu." and [line.split(",")[0] for line in lines[1:]] == [
        "step 3",
        "step 4",
        "step 5",
    ]


def test_only_matrices_of_layers_decay():
    network = nn.ModuleDict(
        {
            "linear": nn.Linear(4, 4),
            "conv": nn.Conv2d(4, 4, 3),
            "norm": nn.LayerNorm(4),
            "tokens": LearnedUVTokens(2, 4),
            "table": nn.Embedding(3, 4),
            "frozen": nn.Linear(4, 4).requires_grad_(False),
        }
    )
    names = {parameter: name for name, parameter in network.named_parameters()}
    decaying, others = decay_groups(network, 0.05)
    assert {names[p] for p in decaying["params"]} == {"linear.weight", "conv.weight"}
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.05, 0)
    assert {names[p] for p in others["params"]} == {
        "linear.bias", "conv.bias", "norm.weight", "norm.bias", "tokens.tokens", "tokens.places", "table.weight",
    }  # fmt: skip


def test_a_folder_belongs_to_one_run_and_one_process(tmp_path):
    config = TrainConfig("linear", tmp_path, steps=5)
    train(config, Linear())
    with pytest.raises(EngineError, match="another seed, batch_size"):
        train(replace(config, seed=1, batch_size=9), Linear())
    with FileLock(tmp_path / ".lock"), pytest.raises(EngineError, match="Another process"):
        train(config, Linear())


@pytest.mark.slow
def test_two_processes_hold_the_same_weights_and_learn_from_both_batches(tmp_path):
    settings, choices = {"steps": 40, "learning_rate": 0.01}, {"regular": False}
    words = [str(SCRIPT), str(tmp_path / "two"), json.dumps(settings), json.dumps(choices)]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = (load_file(tmp_path / "two" / f"rank{rank}.safetensors") for rank in (0, 1))
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    assert provenance(tmp_path / "two" / "weights.safetensors")["samples"] == 40 * 2 * 2

    class Both(Linear):
        def data(self, start, rank, world):
            for pair in zip(super().data(start, 0, 2), super().data(start, 1, 2), strict=True):
                yield [torch.cat([batch[0] for batch in pair])]

    alone = Both(**choices)
    train(TrainConfig("linear", tmp_path / "one", **settings), alone)
    torch.testing.assert_close(first, alone.network.state_dict(), atol=1e-5, rtol=0)


def test_the_command(tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr("engine.commands.train.Objective", lambda *given: seen.append(given) or Linear())
    words = ["train", "--system", "uika", "--out", str(tmp_path / "run")]
    assert main([*words, "--steps", "25", "--variant", "aggregation=no", "--variant", "size=a=b"]) == 0
    (system, preset, config), = seen  # fmt: skip
    assert (system, preset, config.variant) == ("uika", "small", {"aggregation": "no", "size": "a=b"})
    assert provenance(tmp_path / "run" / "weights.safetensors")["steps"] == 25
    assert main(words) == 1
    assert "--steps" in capsys.readouterr().err
    assert main([*words, "--steps", "5", "--variant", "aggregation"]) == 1
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    assert main([*words, "--steps", "5"]) == 1
    assert '".[train]"' in capsys.readouterr().err.replace("\n", "")
