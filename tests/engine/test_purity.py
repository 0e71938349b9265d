"""Every stage that works where its inputs are, on a card (:mod:`tests.engine.card`): nothing of it stays behind on the
CPU, and what comes out is what the CPU makes."""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine import pipeline
from engine.device import Device, moved
from engine.heads import load_head
from engine.heads.atlas import make_atlas, texels_for_count
from engine.heads.rig import make_rig
from engine.models.head_gaussians import HeadGaussians
from engine.models.learned import reconstruct
from engine.models.learned.photo_memory import PhotoMemory
from engine.models.learned.posed_images import PAINTED
from engine.models.surface import paint
from engine.photos.photo import PhotoSet
from engine.pipeline import Options
from engine.progress import Progress
from engine.refinement import refine
from engine.synthetic import sample
from engine.synthetic.portraits import portrait, true_tracking
from engine.synthetic.shelf import ShelvedSample
from engine.systems import flexavatar, make_system
from engine.tracking.photometric import FinishedHead, drive_photometric
from engine.tracking.tracked import View
from engine.training.config import TrainConfig
from engine.training.objective import Objective
from tests.engine.card import MixedDevices, OnCard, card
from tests.engine.systems.people import NAMES

pytestmark = pytest.mark.slow
STEP = 3  # of training, shows two photos
VIEWS, SIZE, COUNT = 4, 128, 3_000
CPU = torch.device("cpu")


def test_the_card_refuses_what_a_card_refuses():
    with card() as there:
        ours, theirs = torch.ones(2, 3), torch.ones(2, 3, device=there)
        for mix in (
            lambda: theirs + ours,
            lambda: ours[theirs > 0],
            lambda: theirs[torch.zeros(1, dtype=torch.long)],
            lambda: torch.cat((theirs, ours)),
            lambda: torch.stack((theirs.sum(), torch.zeros(()))),
            lambda: torch.nn.Linear(3, 3)(theirs),
        ):
            with pytest.raises(MixedDevices):
                mix()
        with pytest.raises(RuntimeError, match="numpy"):
            theirs.numpy()
        assert (theirs + torch.tensor(2.0) * theirs[[0, 1]]).tolist() == [[3.0] * 3] * 2


@pytest.fixture(scope="module")
def person() -> ShelvedSample:
    return ShelvedSample.of(sample(8, VIEWS, SIZE, same_expression=False))


@pytest.fixture(scope="module")
def shown(person):
    """Two photos, their tracking, and what :func:`engine.models.surface.paint` makes of them on the CPU, once."""
    photos, tracked, head = [portrait(person, view) for view in (0, 1)], true_tracking(person, (0, 1)), load_head()
    bald = make_rig(head, tracked.neutral, tracked.joints)
    return photos, tracked, paint(photos, tracked.views, head, bald, texels_for_count(head.uv, head.uv_faces, COUNT))


@pytest.fixture
def quick(monkeypatch, shown):
    """Few of everything, and without what is the CPU's alone."""
    for name, number in {"FITTED": 6, "CHECKS": 2, "COMPONENTS": 2}.items():
        monkeypatch.setattr(reconstruct, name, number)
    monkeypatch.setattr(flexavatar, "ITERATIONS", 2)
    monkeypatch.setattr(reconstruct, "paint", lambda *_: shown[2])
    none = torch.zeros(0, dtype=torch.long)
    monkeypatch.setattr(reconstruct, "add_beyond", lambda gaussians, _, __, ___, views, ____: (gaussians, none, views))


def made_by(name: str, shown, device: torch.device) -> HeadGaussians:
    torch.manual_seed(0)
    system = make_system(name, "tiny", load_head(), {}).eval().requires_grad_(False).to(device)
    photos, tracked, _ = shown
    return reconstruct.reconstruct_with(system, photos, tracked, load_head(), Progress(), COUNT, seconds=60)


@pytest.fixture(scope="module")
def on_cpu(shown):
    """The heads that the CPU makes, each once; for tests that are quick."""
    return lru_cache(lambda name: made_by(name, shown, CPU))


def close(found: torch.Tensor, expected: torch.Tensor, off: float, share: float = 1.0) -> None:
    """Of their values, at least a share lies nearer than ``off``."""
    assert type(found) is torch.Tensor and found.dtype == expected.dtype and found.shape == expected.shape
    assert ((found.double() - expected.double()).abs() <= off).double().mean() >= share


@pytest.mark.parametrize("name", NAMES)
def test_a_network_makes_heads_where_it_is_and_hands_them_on_from_the_cpu(name, quick, shown, on_cpu):
    """Encoding, its own refinement, its motion's eigenbasis, and the way to more Gaussians."""
    expected = on_cpu(name)
    with card() as there:
        found = made_by(name, shown, there)
    for field, value in vars(expected.gaussians).items():
        close(getattr(found.gaussians, field), value, 1e-3)
    for field in ("cover", "seen", "owner", "fixed", "pairs"):
        close(getattr(found, field), getattr(expected, field), 1e-5)
    assert (found.eigenbasis is None) == (expected.eigenbasis is None) == (name in ("match", "uika"))
    if found.eigenbasis is not None:
        assert type(found.eigenbasis.basis) is type(found.eigenbasis.gains) is torch.Tensor
    assert (found.memory is None) == (name != "ffavatar")
    if isinstance(found.memory, PhotoMemory):
        close(found.memory.tokens.tokens, expected.memory.tokens.tokens, 1e-3)


def test_refinement_happens_where_the_head_is(quick, shown, on_cpu):
    """Three rounds of two photos on a head with a motion of its own; bending and healing are the CPU's."""
    photos, tracked, _ = shown
    start = on_cpu("ffavatar")
    expected, views = refine(start, photos, tracked.views, load_head(), Progress(), iterations=3)
    with card() as there:
        found, seen = refine(moved(start, there), photos, tracked.views, load_head(), Progress(), iterations=3)
        assert all(isinstance(each, OnCard) for each in vars(found.gaussians).values())
        found = moved(found, CPU)
    assert found.metrics == expected.metrics and found.metrics["rounds"] == 4
    for field, value in vars(expected.gaussians).items():
        close(getattr(found.gaussians, field), value, 1e-4, 0.99)  # Adam steps alike for gradients of any size
    for ours, theirs in zip(views, seen, strict=True):
        close(torch.from_numpy(theirs.viewmat), torch.from_numpy(ours.viewmat), 1e-4)


def test_a_photo_drives_a_finished_head_where_it_is(quick, shown, on_cpu):
    photos, tracked, _ = shown
    made = on_cpu("match")

    def driven(device: torch.device) -> View:
        look = FinishedHead(moved(made.rig, device), moved(made.gaussians, device), load_head())
        return drive_photometric(look, photos[1], tracked.views[1], steps=2)

    expected = driven(CPU)
    with card() as there:
        found = driven(there)
    for field in ("viewmat", "expression", "joint_rotations"):
        close(torch.from_numpy(getattr(found, field)), torch.from_numpy(getattr(expected, field)), 1e-4)


def test_what_does_not_fit_on_the_card_is_done_on_the_cpu_and_that_is_said(monkeypatch, quick, shown, on_cpu):
    """Both of a reconstruction's stages that use it; what they had on the card is free by the second try."""
    photos, tracked, _ = shown
    head, kept, freed = on_cpu("match"), [], []

    def fill(there: torch.device) -> None:
        if there != CPU:
            large = torch.zeros(1000, device=there)
            kept.append(weakref.ref(large))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        freed.append(kept[-1]() is None)

    def make(photos, tracked, head_model, progress, count, seconds, device):
        fill(device)
        return head

    def polished(start, *rest):
        fill(start.gaussians.colors.device)
        return refine(start, *rest)

    spec = SimpleNamespace(reconstruct=make, network=None, own_refinement=0.0, prepare=lambda model: model)
    for name, value in {
        "system": lambda _: spec, "equipped": lambda *_: spec,
        "track": lambda *_: replace(tracked, residuals=[(0.0,) * 7]), "refine": polished,
        "furnish": lambda made, *_: made, "close_lids": lambda made, *_: made,
    }.items():  # fmt: skip
        monkeypatch.setattr(pipeline, name, value)
    said: list[str] = []
    with card() as there:
        monkeypatch.setattr("engine.device.find_gpu", lambda wanted: Device(there, "A card", "numba"))
        progress = Progress(on_note=said.append)
        made = pipeline.reconstruct_photos(PhotoSet(tuple(photos)), "Ada", Options(refine_seconds=0), progress)
    assert freed == [True, True] and list(made.notes) == said and len(said) == 2
    assert "memory did not suffice for surface" in said[0] and "for refinement" in said[1]
    assert made.device.name == "A card" and type(made.avatar.gaussians.colors) is torch.Tensor
    assert torch.equal(made.avatar.gaussians.colors, head.gaussians.colors)


@pytest.fixture(scope="module")
def samples(tmp_path_factory, person):
    """A coat for all five, of any colours."""
    folder, rng = tmp_path_factory.mktemp("samples"), np.random.default_rng(0)
    texels = int(make_atlas(load_head().uv, load_head().uv_faces, PAINTED).mask.sum())
    shares = {"colors": (texels, 3), "seen": (texels,), "presence": (texels,)}
    (folder / "coats").mkdir()
    coat = {name: rng.integers(0, 256, shape).astype(np.uint8) for name, shape in shares.items()}
    np.savez(folder / "coats" / f"{person.seed}-2.npz", neutral=person.neutral, **coat)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_happens_where_the_network_is(name, person, samples):
    """Photos in, targets drawn, losses, backward, AdamW. Their values are tested on the CPU."""
    config = TrainConfig(name, samples, steps=1, samples=samples, data={"rebalanced": "false"})
    objective = Objective(name, "tiny", config)
    with card() as there:
        objective.to(there)
        assert torch.device(objective.learned.precision().device).type == there.type  # another's autocast does nothing
        parameters = [each for each in objective.network.parameters() if each.requires_grad]
        before = [each.inner.clone() for each in parameters]
        optimizer = torch.optim.AdamW(parameters, fused=True)
        losses = objective([person], STEP)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    assert all(isinstance(each, OnCard) and each.isfinite().item() for each in losses.values())
    changed = [bool((each.inner != old).any()) for each, old in zip(parameters, before, strict=True)]
    assert np.mean(changed) > 0.9
