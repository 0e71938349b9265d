"""What the networks are trained for: pictures over any background, and losses that reach every weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.systems import network
from engine.training.config import TrainConfig
from engine.training.objective import Objective, picture, posed_sample
from engine.training.painted_textures import COUNTS
from tests.engine.models.training import shaken
from tests.engine.systems.people import NAMES, captured, head, person, shelved

pytestmark = pytest.mark.slow

STEP = 3


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Path:
    """Coats for all five."""
    return tmp_path_factory.mktemp("samples")


def objective(name: str, samples: Path) -> Objective:
    return Objective(name, "small", TrainConfig(name, samples / "run", steps=1, samples=samples))


def test_the_step_shows_two_photos():
    """So that attention between photos has something to learn from below."""
    assert np.random.default_rng([0, STEP]).choice(COUNTS) == 2


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_of_every_network_learns(name, samples):
    one = objective(name, samples)
    one.learned.half = False  # nothing is then what it is, and not a rounding error
    shaken(one.network, 0.02)  # some layers start at zero, and hide what lies before them
    terms = one([shelved()], STEP)
    assert set(terms) == {"l1", "ssim", "matte", "mouth", "lpips", "offset"}
    values = {term: float(value.detach()) for term, value in terms.items()}
    assert all(np.isfinite(value) and value >= 0 for value in values.values())
    wanted = {term for term in values if getattr(network(name).losses, term) > 0}
    assert {term for term, value in values.items() if value > 0} == wanted
    torch.stack(list(terms.values())).sum().backward()
    sizes = {}
    for which, parameter in one.network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()), which
            sizes[which] = float(parameter.grad.square().mean().sqrt())
    typical = float(np.median(list(sizes.values())))
    idle = [which for which, size in sizes.items() if size < 1e-4 * typical]
    # what is added to all keys alike changes no attention, unless keys are turned after it
    assert [which for which in idle if not which.endswith("attention.key_norm.bias")] == []


def test_steps_repeat_and_look_at_the_coat_on_the_shelf(samples):
    one = objective("match", samples).requires_grad_(False)
    first, again, later = one([shelved()], STEP), one([shelved()], STEP), one([shelved()], STEP + 1)
    assert {term: float(value) for term, value in first.items()} == {
        term: float(value) for term, value in again.items()
    }
    assert float(first["l1"]) != float(later["l1"])
    path = samples / "coats" / f"{shelved().seed}-2.npz"
    whole = path.read_bytes()
    with np.load(path) as stored:
        negative = {name: 255 - array if name == "colors" else array for name, array in stored.items()}
    with path.open("wb") as file:
        np.savez(file, **negative)
    wrong = one([shelved()], STEP)
    path.write_bytes(whole)
    assert wrong["l1"] > 1.5 * first["l1"] and wrong["lpips"] > first["lpips"]
    assert abs(wrong["matte"] - first["matte"]) < 0.2 * first["matte"]


def test_pictures_change_their_background():
    for view, colour in enumerate(((1.0, 1.0, 1.0), (0.0, 0.5, 0.2))):
        background = torch.tensor(colour)
        image, alpha = picture(shelved(), view, background)
        truth = person()
        expected = truth.rgb[view] + (1 - truth.alpha[view][..., None]) * (np.array(colour) - truth.background)
        assert np.abs(image.numpy() - expected).max() < 1.5 / 255
        assert np.abs(alpha[..., 0].numpy() - truth.alpha[view]).max() < 1 / 255
        assert torch.allclose(image[0, 0], background, atol=1 / 255)


def test_captures_keep_the_order_of_views():
    taken = posed_sample(shelved(), [3, 1], captured(4).texture, head())
    for place, view in enumerate((3, 1)):
        assert torch.equal(taken.images[place], captured(4).images[view])
        assert torch.equal(taken.viewmats[place], captured(4).viewmats[view])
        assert torch.equal(taken.motions[place], captured(4).motions[view])


def test_the_mouth_is_where_the_mouth_is(samples):
    one, truth = objective("flexavatar", samples), person()
    inside = np.any([head().regions[name] for name in ("lips", "mouth_interior", "teeth", "tongue")], axis=0)
    low, high = truth.neutral[inside].min(0) - 0.005, truth.neutral[inside].max(0) + 0.005
    assert (high - low < 0.12).all()
    for view in range(4):
        mouth = one._mouth(shelved(), view)[..., 0].numpy() > 0
        assert 50 < mouth.sum() < 0.05 * mouth.size
        places = truth.rest_positions[view][mouth]
        assert (places > low).all() and (places < high).all()
        faces = head().face_region("lips")
        assert mouth[truth.covered[view] & faces[truth.triangle[view]]].all()
