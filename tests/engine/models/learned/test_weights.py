"""Files of weights: what was trained comes back, and every damaged or foreign file is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from engine.errors import AssetError
from engine.models.learned import weights
from engine.models.learned.weights import load, provenance, shipped

ABOUT = {"system": "uika", "preset": "small", "variant": {"uv_attention": "false"}, "steps": 7}


def network(seed: int) -> nn.Module:
    """Matrices, biases, and buffers, one of them of integers."""
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    return made.eval()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "uika.safetensors"
    tensors = {
        name: each.half() if each.is_floating_point() else each for name, each in network(1).state_dict().items()
    }
    save_file(tensors, path, {"provenance": json.dumps(ABOUT)})
    return path


def test_weights_come_back_in_the_networks_own_precision(file):
    other = network(2).requires_grad_(True)
    load(other, file)
    for name, tensor in network(1).state_dict().items():
        loaded = other.state_dict()[name]
        assert loaded.dtype == tensor.dtype
        torch.testing.assert_close(loaded, tensor.half().to(tensor.dtype))
    assert all(parameter.requires_grad for parameter in other.parameters())
    assert provenance(file) == ABOUT
    assert shipped("uika").name == file.name


def changed(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, {"provenance": json.dumps(ABOUT)})

    return damage


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (changed(lambda tensors: tensors.pop("0.bias")), "0.bias"),
        (changed(lambda tensors: tensors.update(surplus=torch.zeros(1))), "surplus"),
        (changed(lambda tensors: tensors.update({"0.weight": torch.zeros(3, 5).half()})), "0.weight"),
        (changed(lambda tensors: tensors.update({"0.weight": torch.zeros(4, 3).half()})), "0.weight"),
        (changed(lambda tensors: tensors["0.weight"][1, 2].fill_(float("nan"))), "0.weight"),
        (changed(lambda tensors: tensors["1.running_var"][0].fill_(float("inf"))), "1.running_var"),
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "damaged"),
        (lambda path: path.write_bytes(b"\xff" * 64), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(file, damage, name):
    damage(file)
    with pytest.raises(AssetError, match=name) as refusal:
        load(network(2), file)
    assert file.name in str(refusal.value)


@pytest.mark.parametrize(
    "about",
    [
        None,
        "",
        "{",
        "[]",
        '"uika"',
        json.dumps({"system": "uika", "preset": "small"}),
        json.dumps(ABOUT | {"system": 3}),
        json.dumps(ABOUT | {"preset": ["small"]}),
        json.dumps(ABOUT | {"variant": ["depth"]}),
        json.dumps(ABOUT | {"variant": {"depth": 4}}),
        "[" * 100_000,
    ],
)
def test_files_that_do_not_say_what_they_are_are_refused(file, about):
    save_file(load_file(file), file, None if about is None else {"provenance": about})
    with pytest.raises(AssetError, match=file.name):
        provenance(file)


def test_files_that_are_missing_cut_or_too_large_are_refused(file, monkeypatch):
    with pytest.raises(AssetError, match=r"other\.safetensors is not there"):
        provenance(file.with_name("other.safetensors"))
    whole = file.read_bytes()
    for length in (0, 7, 40, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(AssetError, match=file.name):
            provenance(file)
    file.write_bytes(whole)
    monkeypatch.setattr(weights, "LARGEST", len(whole) - 1)
    with pytest.raises(AssetError, match="too large"):
        provenance(file)
