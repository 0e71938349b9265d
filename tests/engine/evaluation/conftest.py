"""A toy head and toy photos: everything about them is known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import trimesh

from engine.arkit import ARKIT_NAMES
from engine.avatar import Avatar, SourceView
from engine.gaussians.gaussians import BoundGaussians
from engine.perceptual import LPIPS
from engine.photos.photo import MARGIN, WINDOW, Photo

RADIUS = 0.1  # m, of the toy head, whose middle lies at MIDDLE
MIDDLE = np.array([0.0, 0.05, 0.02])


@pytest.fixture(scope="session")
def lpips() -> LPIPS:
    return LPIPS()


@pytest.fixture(scope="session")
def toy_photo() -> Callable[..., Photo]:
    def make(number: int) -> Photo:
        """A patterned ellipse, its pattern told apart by ``number``, under landmarks; the top rows are no photo."""
        y, x = np.mgrid[0:WINDOW, 0:WINDOW].astype(np.float32) + 0.5
        across, down = (x - WINDOW / 2) / 150, (y - WINDOW / 2 + 10) / 190
        alpha = (np.clip(1.2 - (across**2 + down**2), 0, 0.2) * 5).astype(np.float32)
        valid = np.ones((WINDOW, WINDOW), bool)
        valid[: MARGIN + 40] = False
        waves = [0.5 + 0.4 * np.sin(x / (9 + k) + number) * np.cos(y / (11 - k)) for k in range(3)]
        image = np.stack(waves, -1).astype(np.float32)

        landmarks = np.random.default_rng(5).uniform(-1, 1, (478, 3)) * (90, 120, 40)
        landmarks[152] = 0, 120, 0  # the chin
        return Photo(
            name=f"clip.mp4#{number}",
            sha256="0" * 64,
            image=image,
            alpha=alpha * valid,
            foreground=image,
            valid=valid,
            landmarks=(landmarks + (WINDOW / 2, WINDOW / 2, 0)).astype(np.float32),
            scores=np.zeros(52, np.float32),
            center=np.full(2, WINDOW / 2, np.float32),
            size=np.full(2, WINDOW, np.float32),
            focal=None,
            embedding=np.full(128, 128**-0.5, np.float32),
            sharpness=1.0,
        )

    return make


@pytest.fixture(scope="session")
def toy_avatar() -> Avatar:
    """A ball, red on the subject's left and blue on the right; jawOpen lifts it by 5 cm."""
    ball = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    vertices, faces = (ball.vertices + MIDDLE).astype(np.float32), ball.faces.astype(np.int32)
    n = len(faces)
    left = torch.from_numpy(vertices[faces][:, :, 0].mean(1) > 0)
    gaussians = BoundGaussians(
        triangles=torch.arange(n),
        barycentrics=torch.full((n, 3), 1 / 3),
        offsets=torch.zeros(n, 3),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(n, 1),
        scales=torch.tensor([0.007, 0.007, 0.001]).repeat(n, 1),
        opacities=torch.full((n,), 0.98),
        colors=torch.where(left[:, None], torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])),
        parts=torch.zeros(n, dtype=torch.uint8),
    )
    deltas = np.zeros((52, len(vertices), 3), np.float32)
    deltas[ARKIT_NAMES.index("jawOpen"), :, 1] = 0.05
    viewmat = np.diag([1.0, -1.0, -1.0, 1.0])
    viewmat[:3, 3] = 0, 0.05, 1.0
    K = np.array([[900.0, 0, WINDOW / 2], [0, 900.0, WINDOW / 2], [0, 0, 1]])
    return Avatar(
        name="ball",
        vertices=vertices,
        faces=faces,
        uv=np.zeros((len(vertices), 2), np.float32),
        uv_faces=faces,
        regions={name: np.ones(len(vertices), bool) for name in ("face", "scalp", "ears")},
        key_names=ARKIT_NAMES,
        key_deltas=deltas,
        joint_names=("head",),
        joint_parents=np.array([-1], np.int32),
        joint_positions=MIDDLE[None].astype(np.float32),
        skin_weights=np.tile(np.array([0.0, 1.0], np.float32), (len(vertices), 1)),
        gaussians=gaussians,
        views=(SourceView("one.jpg", viewmat, K, WINDOW, WINDOW, np.zeros(52), np.zeros((1, 3))),),
        provenance={},
    )
