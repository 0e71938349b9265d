"""DINOv3 against the one of Hugging Face's ``transformers``, which shares no code with ours."""

from __future__ import annotations

import pytest
import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from engine.models.kit.dino import VisionTransformer

WIDTH, DEPTH, HEADS, PATCH, REGISTERS = 48, 3, 3, 16, 4
TAPS = (0, 2)


@pytest.fixture(scope="module")
def reference() -> DINOv3ViTModel:
    torch.manual_seed(0)
    config = DINOv3ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        num_register_tokens=REGISTERS,
        patch_size=PATCH,
    )
    return with_weights_that_tell(DINOv3ViTModel(config))


def with_weights_that_tell(network: DINOv3ViTModel) -> DINOv3ViTModel:
    """The same with biases that are not 0, gains that are not 1, and tokens that look at some more than at others."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def ours(reference: DINOv3ViTModel) -> VisionTransformer:
    network = VisionTransformer(WIDTH, DEPTH, HEADS, PATCH, REGISTERS)
    network.load_state_dict(reference.state_dict(), strict=True)
    return network.train(reference.training)


def tapped(reference: DINOv3ViTModel, pixels: torch.Tensor) -> list[torch.Tensor]:
    states = reference(pixels, output_hidden_states=True).hidden_states  # of the start, then of every block
    return [reference.norm(states[1 + tap])[:, 1 + REGISTERS :] for tap in TAPS]


def gradients(network: torch.nn.Module, pixels: torch.Tensor, taps: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """By parameter, and of the pixels, of a sum in which every number of every tap has a weight of its own."""
    network.zero_grad()
    pixels.grad = None
    numbers = torch.cat([tap.flatten() for tap in taps])
    (numbers * torch.sin(torch.arange(len(numbers)))).sum().backward()
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    return found | {"pixels": pixels.grad.clone()}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 80), (96, 64), (160, 160)])
def test_values_and_gradients_are_those_of_transformers(
    reference: DINOv3ViTModel, height: int, width: int, training: bool
) -> None:
    network = ours(reference.train(training))
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, height, width, requires_grad=True)
    torch.manual_seed(1)  # training stretches the patches' places at random
    expected = tapped(reference, pixels)
    wanted = gradients(reference, pixels, expected)
    torch.manual_seed(1)
    found = network(pixels, TAPS)
    assert found[0].shape == (2, height * width // PATCH**2, WIDTH)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    got = gradients(network, pixels, found)
    assert set(got) == set(wanted) - {"embeddings.mask_token"}
    for name, gradient in got.items():
        scale = wanted[name].abs().max()
        torch.testing.assert_close(gradient / scale, wanted[name] / scale, rtol=0, atol=1e-5, msg=name)


def test_places_vary_in_training_only(reference: DINOv3ViTModel) -> None:
    pixels = torch.randn(1, 3, 32, 48)
    for training in (False, True):
        network = ours(reference.train(training))
        (first,), (second,) = network(pixels, (2,)), network(pixels, (2,))
        assert torch.equal(first, second) == (not training)


def test_names_shapes_and_their_order_are_those_of_transformers(reference: DINOv3ViTModel) -> None:
    theirs = [(name, p.shape) for name, p in reference.named_parameters()]
    network = VisionTransformer(WIDTH, DEPTH, HEADS, PATCH, REGISTERS)
    assert [(name, p.shape) for name, p in network.named_parameters()] == theirs
    assert list(network.state_dict()) == list(reference.state_dict())


def test_first_weights_are_drawn_alike() -> None:
    config = DINOv3ViTConfig(hidden_size=256, num_hidden_layers=1, num_attention_heads=4, intermediate_size=1024)
    config.num_register_tokens = REGISTERS
    torch.manual_seed(0)
    theirs = DINOv3ViTModel(config).state_dict()
    for name, first in VisionTransformer(256, 1, 4, PATCH, REGISTERS).state_dict().items():
        torch.testing.assert_close(first.mean(), theirs[name].mean(), rtol=0, atol=5e-3, msg=name)
        torch.testing.assert_close(first.std(), theirs[name].std(), rtol=0.2, atol=0, msg=name)


def test_a_network_without_storage_computes_once_it_has_weights(reference: DINOv3ViTModel) -> None:
    with torch.device("meta"):
        network = VisionTransformer(WIDTH, DEPTH, HEADS, PATCH, REGISTERS).eval()
    network.load_state_dict(reference.state_dict(), assign=True)
    pixels = torch.randn(1, 3, 32, 48)
    (found,) = network(pixels, (2,))
    assert torch.equal(found, ours(reference.eval())(pixels, (2,))[0])
