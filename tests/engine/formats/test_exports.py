"""Files for splat viewers, written and read: against plain struct, plyfile, gsply and the formulas of the viewers."""

from __future__ import annotations

import gzip
import math
import struct

import gsply
import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement
from scipy.spatial.transform import Rotation
from torch.nn import functional

from engine.avatar import load
from engine.errors import AvatarError
from engine.formats.splats import splat_formats
from engine.formats.splats.ply import PROPERTIES, read_ply, write_ply
from engine.formats.splats.splat import read_splat, write_splat
from engine.formats.splats.spz import read_spz, write_spz
from engine.formats.viewers import AXES, SH_C0, from_file, to_file
from engine.gaussians.gaussians import Splats
from tests import fuzz
from tests.engine.rotations import quat_to_matrix


def random_splats(count: int, seed: int) -> Splats:
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    opacities = rand(count)
    opacities[::3] = torch.tensor((0.002, 1 / 255, 1.0, 0.003))[torch.arange(len(opacities[::3])) % 4]
    quats = functional.normalize(rand(count, 4) - 0.5, dim=1)
    return Splats(rand(count, 3) - 0.5, quats, rand(count, 3) * 0.01 + 1e-4, opacities, rand(count, 3))


def assert_close(read: Splats, wanted: Splats, **tolerances: float) -> None:
    """Equal but for the sign of quaternions; ``means=1e-6`` and so on, ``scales`` and ``rotations`` relative."""
    for name, tolerance in tolerances.items():
        if name == "rotations":
            found, expected = quat_to_matrix(read.quats), quat_to_matrix(wanted.quats)
        elif name == "scales":
            found, expected = read.scales / wanted.scales, torch.ones_like(wanted.scales)
        else:
            found, expected = getattr(read, name), getattr(wanted, name)
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def trained(count: int, degree: int, order: str = "<", kind: str = "f4", seed: int = 0) -> np.ndarray:
    """Rows as a trainer writes them: quaternions of any length, more properties, harmonics."""
    rng = np.random.default_rng(seed)
    rest = [f"f_rest_{n}" for n in range(3 * ((degree + 1) ** 2 - 1))]
    names = [*PROPERTIES[:9], *rest, *PROPERTIES[9:], "confidence"]
    rows = np.empty(count, [(name, order + kind) for name in names])
    for name in names:
        rows[name] = rng.normal(-4 if name.startswith("scale") else 0, 1, count)
    return rows


def test_ply_holds_the_splats_for_any_reader(tmp_path):
    path = tmp_path / "head.ply"
    splats = random_splats(60, 1)
    write_ply(splats, path)
    content = path.read_bytes()
    assert content.startswith(b"ply\nformat binary_little_endian 1.0\n")
    body = content.index(b"end_header\n") + len(b"end_header\n")
    assert len(content) - body == len(splats.means) * 17 * 4
    for n, row in enumerate(struct.iter_unpack("<17f", content[body:])):
        np.testing.assert_allclose(row[:3], splats.means[n], rtol=1e-6)
        assert row[3:6] == (0, 0, 0)
        colors = 0.5 + np.array(row[6:9]) / (2 * math.sqrt(math.pi))
        np.testing.assert_allclose(colors, splats.colors[n], atol=1e-6)
        assert 1 / (1 + math.exp(-row[9])) == pytest.approx(splats.opacities[n].item(), abs=2e-6)
        np.testing.assert_allclose(np.exp(row[10:13]), splats.scales[n], rtol=1e-5)
        np.testing.assert_allclose(row[13:17], splats.quats[n], atol=1e-6)
    assert_close(read_ply(path).splats, splats, means=0, rotations=1e-5, scales=1e-5, opacities=2e-6, colors=1e-6)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize(("text", "order"), [(True, "="), (False, "<"), (False, ">")])
def test_trainers_ply_files_are_read_whatever_their_bytes_and_degree(tmp_path, degree, text, order):
    path = tmp_path / "scene.ply"
    rows = trained(40, degree, kind="f8" if order == ">" else "f4")
    camera, lens = (PlyElement.describe(np.ones(2, [("extrinsic", "f4")]), name) for name in ("camera", "lens"))
    PlyData([camera, PlyElement.describe(rows, "vertex"), lens], text=text, byte_order=order).write(str(path))
    read = read_ply(path)
    found = read.splats
    np.testing.assert_allclose(found.means, np.stack([rows[axis] for axis in "xyz"], 1), rtol=1e-6)
    np.testing.assert_allclose(
        found.colors, 0.5 + SH_C0 * np.stack([rows[f"f_dc_{n}"] for n in range(3)], 1), atol=1e-6
    )
    np.testing.assert_allclose(found.opacities, 1 / (1 + np.exp(-rows["opacity"].astype(float))), atol=1e-6)
    np.testing.assert_allclose(found.scales, np.exp(np.stack([rows[f"scale_{n}"] for n in range(3)], 1)), rtol=1e-5)
    turned = Rotation.from_quat(np.stack([rows[f"rot_{n}"] for n in range(4)], 1), scalar_first=True).as_matrix()
    np.testing.assert_allclose(quat_to_matrix(found.quats), turned, atol=1e-5)
    assert (f"degree {degree}" in " ".join(read.notes)) == (degree > 0)


def test_splat_holds_the_splats_in_their_order(tmp_path):
    path = tmp_path / "head.splat"
    splats = random_splats(60, 2)
    write_splat(splats, path)
    records = list(struct.iter_unpack("<6f8B", path.read_bytes()))
    assert len(records) == 60
    for n, row in enumerate(records):
        np.testing.assert_allclose(row[:3], splats.means[n], rtol=1e-6)
        np.testing.assert_allclose(row[3:6], splats.scales[n], rtol=1e-6)
        np.testing.assert_allclose(
            np.array(row[6:10]) / 255, [*splats.colors[n], splats.opacities[n]], atol=0.502 / 255
        )
        turn = Rotation.from_quat((np.array(row[10:14]) - 128) / 128, scalar_first=True).as_matrix()
        np.testing.assert_allclose(turn, quat_to_matrix(splats.quats[n]).numpy(), atol=0.04)
    assert_close(read_splat(path).splats, splats, means=0, rotations=0.04, scales=0, opacities=0.002, colors=0.002)


def test_spz_keeps_a_head_to_a_hundredth_of_a_millimetre_for_gsply_and_for_us(tmp_path):
    path = tmp_path / "head.spz"
    splats = random_splats(500, 3)
    write_spz(splats, path)
    theirs = gsply.read_spz(path)
    away = np.linalg.norm(theirs.means - splats.means.numpy(), axis=1)
    assert np.median(away) < 1e-5 and away.max() < 3e-5
    ours = read_spz(path).splats
    np.testing.assert_array_equal(ours.means, theirs.means)
    np.testing.assert_allclose(ours.scales.log(), theirs.scales, atol=1e-6)
    np.testing.assert_allclose(quat_to_matrix(ours.quats), quat_to_matrix(torch.from_numpy(theirs.quats)), atol=1e-5)
    assert_close(ours, splats, rotations=0.01, scales=0.033, opacities=0.002, colors=0.004)
    far = Splats(splats.means * 1000, *list(vars(splats).values())[1:])
    write_spz(far, path)  # a street: fewer bits after the point
    assert_close(read_spz(path).splats, far, means=1e-3)


def test_gsplys_spz_with_harmonics_and_the_first_version_are_read(tmp_path):
    path = tmp_path / "scene.spz"
    rows = trained(50, 2)
    PlyData([PlyElement.describe(rows, "vertex")]).write(str(tmp_path / "scene.ply"))
    gsply.write_spz(path, gsply.plyread(tmp_path / "scene.ply"), fractional_bits=16)
    read = read_spz(path)
    assert "degree 2" in read.notes[0]
    assert_close(read.splats, read_ply(tmp_path / "scene.ply").splats, means=1e-4, rotations=0.01)
    half = np.array([[0.5, -0.25, 2.0]], "<f2").tobytes()
    first = (
        struct.pack("<4sIIBBBB", b"NGSP", 1, 1, 0, 12, 0, 0)
        + half
        + bytes((255, 128, 128, 128, 160, 160, 160, 255, 127, 127))
    )
    path.write_bytes(gzip.compress(first))
    found = read_spz(path).splats
    assert found.means.tolist() == [[0.5, -0.25, 2.0]] and found.quats[0, 1] > 0.99


@pytest.mark.parametrize("name", AXES)
def test_axes_turn_or_mirror_a_gaussian_as_a_whole(name):
    splats, matrix = random_splats(20, 4), torch.tensor(AXES[name].matrix, dtype=torch.float32)
    turned = to_file(splats, name)

    def covariances(of: Splats) -> torch.Tensor:
        axes = quat_to_matrix(of.quats) * of.scales[:, None]
        return axes @ axes.transpose(1, 2)

    torch.testing.assert_close(turned.means, splats.means @ matrix.T)
    torch.testing.assert_close(covariances(turned), matrix @ covariances(splats) @ matrix.T, atol=1e-9, rtol=1e-4)
    assert_close(from_file(turned, name), splats, means=1e-7, rotations=1e-5)


def test_what_is_broken_of_a_sound_file_is_left_out_and_told(tmp_path):
    path = tmp_path / "scene.ply"
    rows = trained(10, 0)
    rows["scale_1"][3], rows["x"][4], rows["opacity"][5] = 1e30, np.nan, np.inf
    for n in range(4):
        rows[f"rot_{n}"][6] = 0
    PlyData([PlyElement.describe(rows, "vertex")]).write(str(path))
    read = read_ply(path)
    assert len(read.splats.means) == 8 and "2 of 10 splats" in read.notes[0]
    assert read.splats.opacities[3] == 1 and read.splats.quats[4].tolist() == [1, 0, 0, 0]


def strangers() -> dict[str, tuple[bytes, str]]:
    """Healthy files of other kinds, and what each is called."""

    def ply(properties: list[str], *elements: str) -> bytes:
        lines = ["ply", "format ascii 1.0", *elements, "element vertex 1", *(f"property float {p}" for p in properties)]
        return "\n".join([*lines, "end_header", " ".join("0" * len(properties)), ""]).encode()

    face = "element face 1\nproperty list uchar int vertex_indices"
    return {
        "mesh.ply": (ply(["x", "y", "z"], face), "a mesh"),
        "points.ply": (ply(["x", "y", "z"]), "without Gaussians"),
        "small.compressed.ply": (ply(["packed_position"]), "splat-transform small.compressed.ply small_plain.ply"),
        "head.ply": (ply([*PROPERTIES, "binding_0"]), "GaussianAvatars"),
        "scene.ksplat": (bytes(5000), "splat-transform scene.ksplat"),
        "new.spz": (struct.pack("<4sIIBBBBI", b"NGSP", 4, 1, 0, 12, 0, 5, 32) + bytes(12), "version 4"),
        "photo.png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "a picture"),
        "head.glb": (b"glTF" + bytes(100), "glTF"),
    }


@pytest.mark.parametrize("name", strangers())
def test_healthy_files_of_other_kinds_are_called_what_they_are(tmp_path, name):
    content, called = strangers()[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AvatarError) as refused:
        load(tmp_path / name)
    assert called in str(refused.value) and "damaged" not in str(refused.value)
    if name.endswith(".ply"):
        with pytest.raises(AvatarError) as refused:
            read_ply(tmp_path / name)
        assert called in str(refused.value)
    for spec in splat_formats().values():
        with pytest.raises(AvatarError):
            spec.read(tmp_path / name)


@pytest.mark.parametrize("name", ["ply", "splat", "spz"])
def test_splats_are_no_avatar_and_no_avatar_is_splats(tmp_path, name):
    path = tmp_path / f"head.{name}"
    splat_formats()[name].write(random_splats(5, 0), path)
    with pytest.raises(AvatarError, match=r"3DGS point cloud, no avatar file.*[Ii]mport"):
        load(path)
    path.write_bytes(fuzz.KEPT.read_bytes())
    with pytest.raises(AvatarError):
        splat_formats()[name].read(path)
    with pytest.raises(AvatarError, match="cannot be read"):
        splat_formats()[name].read(tmp_path / "absent")


def test_a_lying_count_costs_nothing(tmp_path):
    path = tmp_path / "head.ply"
    write_ply(random_splats(12, 0), path)
    content = path.read_bytes()
    start = content.index(b"vertex ") + 7
    for count in (b"999999999999", b"-1", b"3000000", b"0"):
        path.write_bytes(content[:start] + count + content[content.index(b"\n", start) :])
        with pytest.raises(AvatarError, match=r"head\.ply"):
            read_ply(path)
    bomb = tmp_path / "head.spz"
    bomb.write_bytes(gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 3, 4_000_000, 0, 12, 0, 0) + bytes(80_000_000), 1))
    with pytest.raises(AvatarError, match="more than a file of its size"):
        read_spz(bomb)
