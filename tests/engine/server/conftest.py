"""Real engine processes: one to share, and as many as a test wants to break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from engine import assets
from engine.avatar import Avatar
from engine.gaussians.gaussians import BoundGaussians
from tests.engine.server.engines import Engine, running


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Engine]]:
    """Start engines that keep their files below ``tmp_path`` and end with the test."""
    with ExitStack() as stack:
        yield lambda *words, **rest: stack.enter_context(running(*words, env={"TMPDIR": str(tmp_path)}, **rest))


@pytest.fixture(scope="session")
def shared() -> Iterator[Engine]:
    """One engine for the tests that leave it as it was."""
    with running() as engine:
        yield engine


@pytest.fixture(scope="session")
def portrait() -> bytes:
    return assets.path("samples/astronaut.png").read_bytes()


@pytest.fixture(scope="session")
def avatar() -> Avatar:
    """One red Gaussian on one triangle, a metre before the camera at the origin."""
    eye = np.eye(3, dtype=np.float32)
    return Avatar(
        name="dot", vertices=np.array([[0, 0, -1], [0.1, 0, -1], [0, 0.1, -1]], np.float32),
        faces=np.array([[0, 1, 2]], np.int32), uv=eye[:, :2], uv_faces=np.array([[0, 1, 2]], np.int32), regions={},
        key_names=("up",), key_deltas=np.full((1, 3, 3), [0, 0.1, 0], np.float32),
        joint_names=("neck", "head", "jaw", "eyeLeft", "eyeRight"),
        joint_parents=np.array([-1, 0, 1, 1, 1], np.int32), joint_positions=np.zeros((5, 3), np.float32),
        skin_weights=np.array([[0, 0, 1, 0, 0, 0]] * 3, np.float32), views=(), provenance={
            "photos": [], "head_model": {"name": "dot", "licence": "none"}, "versions": {}, "options": {},
            "metrics": {}, "created": "2026-01-01",
        },
        gaussians=BoundGaussians(
            torch.zeros(1, dtype=torch.int64), torch.tensor([[1.0, 0, 0]]), torch.zeros(1, 3),
            torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.05), torch.ones(1), torch.tensor([[1.0, 0, 0]]),
            torch.zeros(1, dtype=torch.uint8),
        ),
    )  # fmt: skip
