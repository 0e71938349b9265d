"""GaussianAvatars' heads lie on the user's FLAME as in their paper, and bring their recording."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement
from scipy.spatial.transform import Rotation

from engine.avatar import drive, load
from engine.cli import main
from engine.heads import load_head
from tests.engine.heads.flame_fixture import another_head

pytestmark = pytest.mark.slow  # all of it waits for a FLAME head that is built once

COUNT, FRAMES = 400, 5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """A made-up head on a made-up FLAME: its folder, and the arrays that are in it."""
    folder, rng = tmp_path_factory.mktemp("ga"), np.random.default_rng(1)
    flame, _ = another_head(load_head())
    np.savez(folder / "flame.npz", **flame)
    faces, vertices = len(flame["f"]), len(flame["v_template"])
    table = {name: rng.normal(0, 0.5, COUNT) for name in ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity")}
    table |= {f"scale_{k}": rng.normal(-2, 0.3, COUNT) for k in range(3)}
    table |= {f"rot_{k}": rng.normal(size=COUNT) for k in range(4)}
    table["binding_0"] = rng.integers(0, faces, COUNT).astype(float)
    table["binding_0"][:7] = faces + 3  # its own teeth
    parameters = {
        "shape": rng.normal(0, 0.3, 300),
        "expr": rng.normal(0, 0.5, (FRAMES, 100)),
        "rotation": rng.normal(0, 0.1, (FRAMES, 3)),
        "neck_pose": rng.normal(0, 0.1, (FRAMES, 3)),
        "jaw_pose": rng.normal(0, 0.1, (FRAMES, 3)),
        "eyes_pose": rng.normal(0, 0.1, (FRAMES, 6)),
        "translation": np.zeros((FRAMES, 3)),
        "static_offset": rng.normal(0, 1e-3, (1, vertices, 3)),
    }
    write(folder, table, parameters)
    return folder, flame, table, parameters


def write(folder: Path, table: dict, parameters: dict) -> None:
    rows = np.empty(len(table["x"]), [(name, "<f4") for name in table])
    for name, column in table.items():
        rows[name] = column
    PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(str(folder / "point_cloud.ply"))
    np.savez(folder / "flame_param.npz", **{name: value.astype(np.float32) for name, value in parameters.items()})


def test_a_head_comes_in_on_flame_with_its_recording(made, tmp_path: Path) -> None:
    folder, flame, table, parameters = made
    words = ["import", str(folder / "point_cloud.ply"), "-o", str(tmp_path / "head.npz")]
    words += ["--head", str(folder / "flame.npz"), "--performance", str(tmp_path / "take.csv")]
    assert main(words) == 0
    head = load(tmp_path / "head.npz")
    assert len(head.gaussians) == COUNT - 7
    assert any("7 Gaussians on teeth" in note for note in head.provenance["notes"])
    assert "flame_expr_099" in head.key_names

    # The paper's section 3.2, written down here with loops
    shaped = flame["v_template"] + flame["shapedirs"][..., :300] @ parameters["shape"] + parameters["static_offset"][0]
    rest = drive(head, {})
    for k in range(7, COUNT):
        a, b, c = shaped[flame["f"][int(table["binding_0"][k])].astype(int)]
        x = (b - a) / np.linalg.norm(b - a)
        n = np.cross(x, c - a)
        n /= np.linalg.norm(n)
        axes = np.column_stack([x, n, np.cross(x, n)])
        size = (np.linalg.norm(b - a) + abs(axes[:, 2] @ (c - a))) / 2
        local = np.array([table[axis][k] for axis in "xyz"])
        np.testing.assert_allclose(rest.means[k - 7], size * axes @ local + (a + b + c) / 3, atol=2e-6)
        scales = size * np.exp([table[f"scale_{i}"][k] for i in range(3)])
        np.testing.assert_allclose(rest.scales[k - 7], scales, rtol=1e-3)
        turn = axes @ Rotation.from_quat([table[f"rot_{i}"][k] for i in (1, 2, 3, 0)]).as_matrix()
        found = Rotation.from_quat(rest.quats[k - 7].numpy()[[1, 2, 3, 0]]).as_matrix()
        np.testing.assert_allclose(found, turn, atol=1e-3)

    with (tmp_path / "take.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FRAMES and float(rows[1]["Time"]) == 0.04
    angles = [float(rows[2][f"Head{axis}"]) for axis in ("Pitch", "Yaw", "Roll")]
    turn = Rotation.from_rotvec(parameters["rotation"][2]) * Rotation.from_rotvec(parameters["neck_pose"][2])
    assert (Rotation.from_euler("xyz", angles).inv() * turn).magnitude() < 1e-5
    assert abs(float(rows[3]["flame_expr_042"]) - parameters["expr"][3, 42]) < 1e-5


def test_what_is_missing_or_does_not_fit_is_named(made, tmp_path: Path, capsys) -> None:
    folder, flame, table, parameters = made
    out = ["-o", str(tmp_path / "head.npz")]
    assert main(["import", str(folder / "point_cloud.ply"), *out]) == 4
    assert "GaussianAvatars" in capsys.readouterr().err
    own = ["--head", str(folder / "flame.npz")]
    write(tmp_path, table, parameters | {"static_offset": np.zeros((1, 5143, 3))})
    assert main(["import", str(tmp_path / "point_cloud.ply"), *out, *own]) == 4
    assert "another FLAME" in " ".join(capsys.readouterr().err.split())
    write(tmp_path, table, parameters | {"jaw_pose": np.zeros((FRAMES + 1, 3))})
    assert main(["import", str(tmp_path / "point_cloud.ply"), *out, *own]) == 5
    (tmp_path / "flame_param.npz").unlink()
    assert main(["import", str(tmp_path / "point_cloud.ply"), *out, *own]) == 5
    assert "Put it beside the .ply" in " ".join(capsys.readouterr().err.split())
