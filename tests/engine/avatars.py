"""Avatars with random content, and what it takes for two to be the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import trimesh
from scipy.spatial.transform import Rotation

from engine.avatar import Avatar, SourceView
from engine.gaussians.eigenbasis import STEPS, Eigenbasis
from engine.gaussians.gaussians import BoundGaussians

PROVENANCE = {
    "photos": [{"name": "a.jpg", "sha256": "0" * 64}],
    "head_model": {"name": "makehuman", "licence": "CC0"},
    "versions": {"engine": "0.1"},
    "options": {"refine": 10.0},
    "metrics": {"psnr": 27.5},
    "created": "2026-01-02T03:04:05+00:00",
}


def make_avatar(seed: int = 0, gaussians: int = 20, keys: int = 3, joints: int = 5, views: int = 2) -> Avatar:
    rng = np.random.default_rng(seed)
    mesh = trimesh.creation.icosphere(1, 0.1)
    vertices, faces = np.array(mesh.vertices, np.float32), np.array(mesh.faces, np.int32)

    def weights(*shape: int) -> np.ndarray:
        return rng.dirichlet(np.ones(shape[-1]), shape[:-1]).astype(np.float32)

    deltas = rng.normal(0, 0.01, (keys, len(vertices), 3)) * (rng.random((keys, len(vertices), 1)) < 0.3)
    quats = rng.normal(size=(gaussians, 4))
    bound = BoundGaussians(
        triangles=torch.from_numpy(rng.integers(0, len(faces), gaussians)),
        barycentrics=torch.from_numpy(weights(gaussians, 3)),
        offsets=torch.from_numpy(rng.normal(0, 0.01, (gaussians, 3)).astype(np.float32)),
        quats=torch.from_numpy((quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32)),
        scales=torch.from_numpy(rng.uniform(1e-4, 0.01, (gaussians, 3)).astype(np.float32)),
        opacities=torch.from_numpy(rng.random(gaussians, np.float32)),
        colors=torch.from_numpy(rng.random((gaussians, 3), np.float32)),
        parts=torch.from_numpy(rng.integers(0, 3, gaussians).astype(np.uint8)),
    )

    def view(number: int) -> SourceView:
        viewmat = np.eye(4)
        viewmat[:3, :3] = Rotation.random(random_state=seed + number).as_matrix()
        viewmat[:3, 3] = rng.normal(size=3)
        K = np.array([[900.0, 0, 384], [0, 900, 384], [0, 0, 1]])
        return SourceView(f"clip.mp4#{number}", viewmat, K, 768, 512, rng.random(keys), rng.normal(0, 0.3, (joints, 3)))

    return Avatar(
        name="Ada",
        vertices=vertices,
        faces=faces,
        uv=rng.random((50, 2)).astype(np.float32),
        uv_faces=rng.integers(0, 50, faces.shape).astype(np.int32),
        regions={"face": rng.random(len(vertices)) < 0.5, "lips": rng.random(len(vertices)) < 0.1},
        key_names=tuple(f"key{k}" for k in range(keys)),
        key_deltas=deltas.astype(np.float32),
        joint_names=("neck", "head", "jaw", "eyeLeft", "eyeRight", "ear", "hat")[:joints],
        joint_parents=np.arange(-1, joints - 1, dtype=np.int32),
        joint_positions=rng.normal(0, 0.05, (joints, 3)).astype(np.float32),
        skin_weights=weights(len(vertices), joints + 1),
        gaussians=bound,
        views=tuple(view(number) for number in range(views)),
        provenance=PROVENANCE,
    )


def with_eigenbasis(avatar: Avatar, components: int = 3) -> Avatar:
    generator = torch.Generator().manual_seed(4)
    basis = 1e-3 * torch.randn(components, len(avatar.gaussians), 14, generator=generator) * torch.tensor(STEPS)
    rows = len(avatar.key_names) + 3 * len(avatar.joint_names)
    gains = 1e3 * torch.randn(rows, components, generator=generator)
    return dataclasses.replace(avatar, eigenbasis=Eigenbasis(basis, gains))


def assert_same(a: object, b: object) -> None:
    """Equal to the last bit, types included."""
    if dataclasses.is_dataclass(a):
        assert type(a) is type(b)
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, np.ndarray | torch.Tensor):
        assert isinstance(b, type(a))
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, tuple) and a and isinstance(a[0], SourceView):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b
