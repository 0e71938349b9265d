"""Exports read by independent decoders: plain struct, plyfile, and the formulas of the viewers."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from plyfile import PlyData, PlyElement
from scipy.spatial.transform import Rotation
from torch.nn import functional

from engine.errors import AvatarError
from engine.formats.splats.ply import read_ply, write_ply
from engine.formats.splats.splat import write_splat
from engine.gaussians.gaussians import Splats
from tests.engine.rotations import quat_to_matrix

HALF_TURN = np.diag([1.0, -1.0, -1.0])  # engine axes to COLMAP's


def random_splats(count: int, seed: int) -> Splats:
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    opacities = rand(count)
    opacities[::3] = torch.tensor((0.0, 1 / 255, 1.0, 0.003))[torch.arange(len(opacities[::3])) % 4]
    quats = functional.normalize(rand(count, 4) - 0.5, dim=1)
    return Splats(rand(count, 3) - 0.5, quats, rand(count, 3) * 0.01 + 1e-5, opacities, rand(count, 3))


def seen(splats: Splats) -> Splats:
    keep = splats.opacities >= 1 / 255
    return Splats(*(value[keep] for value in vars(splats).values()))


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(count=st.integers(0, 60), seed=st.integers(0, 99))
def test_ply_holds_the_splats_for_any_reader(tmp_path_factory, count, seed):
    path = tmp_path_factory.mktemp("ply") / "head.ply"
    splats = random_splats(count, seed)
    write_ply(splats, path)
    splats = seen(splats)
    content = path.read_bytes()
    assert content.startswith(b"ply\nformat binary_little_endian 1.0\n")
    body = content.index(b"end_header\n") + len(b"end_header\n")
    assert len(content) - body == len(splats.means) * 17 * 4
    for n, row in enumerate(struct.iter_unpack("<17f", content[body:])):
        np.testing.assert_allclose(row[:3], HALF_TURN @ splats.means[n].numpy(), rtol=1e-6)
        assert row[3:6] == (0, 0, 0)
        colors = 0.5 + np.array(row[6:9]) / (2 * math.sqrt(math.pi))
        np.testing.assert_allclose(colors, splats.colors[n], atol=1e-6)
        assert 1 / (1 + math.exp(-row[9])) == pytest.approx(splats.opacities[n].item(), abs=2e-6)
        np.testing.assert_allclose(np.exp(row[10:13]), splats.scales[n], rtol=1e-5)
        turn = Rotation.from_quat(row[13:17], scalar_first=True).as_matrix()
        np.testing.assert_allclose(turn, HALF_TURN @ quat_to_matrix(splats.quats[n]).numpy(), atol=1e-5)
    again = read_ply(path)
    for name, value in vars(again).items():
        expected = getattr(splats, name)
        if name == "quats":
            value, expected = quat_to_matrix(value), quat_to_matrix(expected)
        torch.testing.assert_close(value, expected, atol=2e-6, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(0, 60), seed=st.integers(0, 99))
def test_splat_holds_the_splats_the_largest_first(tmp_path_factory, count, seed):
    path = tmp_path_factory.mktemp("splat") / "head.splat"
    splats = random_splats(count, seed)
    write_splat(splats, path)
    splats = seen(splats)
    weight = (splats.scales.double().prod(1) * splats.opacities).numpy()
    records = list(struct.iter_unpack("<6f8B", path.read_bytes()))
    assert len(records) == len(weight)
    for n, row in zip(np.argsort(-weight), records, strict=True):
        np.testing.assert_allclose(row[:3], HALF_TURN @ splats.means[n].numpy(), rtol=1e-6)
        np.testing.assert_allclose(row[3:6], splats.scales[n], rtol=1e-6)
        np.testing.assert_allclose(
            np.array(row[6:10]) / 255, [*splats.colors[n], splats.opacities[n]], atol=0.502 / 255
        )
        turn = Rotation.from_quat((np.array(row[10:14]) - 128) / 128, scalar_first=True).as_matrix()
        np.testing.assert_allclose(turn, HALF_TURN @ quat_to_matrix(splats.quats[n]).numpy(), atol=0.04)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_damaged_ply_is_refused_or_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bad") / "head.ply"
    write_ply(random_splats(12, 0), path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        read = read_ply(path)
    except AvatarError as error:
        refusal = error.message
    else:
        assert all(torch.isfinite(value).all() for value in vars(read).values())
        return
    assert "head.ply" in refusal


def test_a_mesh_ply_and_a_lying_count_are_refused(tmp_path):
    path = tmp_path / "mesh.ply"
    PlyData([PlyElement.describe(np.zeros(3, [("x", "f4"), ("y", "f4"), ("z", "f4")]), "vertex")]).write(str(path))
    with pytest.raises(AvatarError, match="no Gaussian"):
        read_ply(path)
    write_ply(random_splats(12, 0), path)
    for count in (b"999999999999", b"-1"):
        start = path.read_bytes().index(b"vertex ") + 7
        content = path.read_bytes()
        path.write_bytes(content[:start] + count + content[content.index(b"\n", start) :])
        with pytest.raises(AvatarError, match="no Gaussian"):
            read_ply(path)
    with pytest.raises(AvatarError, match="cannot be read"):
        read_ply(tmp_path / "absent.ply")
