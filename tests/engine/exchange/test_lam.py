"""LAM avatars come in with their keys and skeleton, each Gaussian on its own vertex."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from engine.arkit import ARKIT_NAMES
from engine.avatar import drive, load
from engine.cli import main
from engine.errors import AvatarError
from engine.exchange.importing import import_head
from engine.exchange.incoming import Wanted
from engine.progress import Progress
from tests.engine.exchange.lam_file import PLACES, write_lam

KEYS = [name for name in ARKIT_NAMES if name != "tongueOut"]  # LAM's 51


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """A ball in the place of a head: its file, and what is in it."""
    rng = np.random.default_rng(0)
    ball = trimesh.creation.icosphere(2, 0.1)
    vertices, count = np.array(ball.vertices) + (0, 1.6, 0), len(ball.vertices)
    keys = {key: rng.normal(0, 0.003, (count, 3)) for key in KEYS}
    quats = rng.normal(size=(count, 4))
    splats = {
        "means": rng.normal(0, 0.002, (count, 3)),
        "colors": rng.random((count, 3)),
        "opacities": rng.uniform(0.1, 0.9, count),
        "scales": rng.uniform(0.001, 0.01, (count, 3)),
        "quats": quats / np.linalg.norm(quats, axis=1, keepdims=True),
    }
    path = tmp_path_factory.mktemp("lam") / "p2-1.zip"
    write_lam(path, vertices, np.array(ball.faces), keys, splats)
    return path, vertices, keys, splats


@pytest.mark.slow
def test_a_lam_avatar_comes_in_with_its_keys_and_bones(made, tmp_path: Path) -> None:
    path, vertices, keys, splats = made
    assert main(["import", str(path), "-o", str(tmp_path / "head.npz")]) == 0
    head = load(tmp_path / "head.npz")
    assert head.key_names == ARKIT_NAMES and len(head.vertices) == len(vertices)
    assert any("tongueOut" in note for note in head.provenance["notes"])
    rest = drive(head, {})
    np.testing.assert_allclose(rest.means, vertices + splats["means"], atol=1e-6)
    for name in ("colors", "opacities", "scales"):
        np.testing.assert_allclose(getattr(rest, name), splats[name], rtol=1e-4, atol=1e-6)

    moved = drive(head, {"jawOpen": 0.5}).means.numpy()
    gone = np.linalg.norm(moved - rest.means.numpy() - 0.5 * keys["jawOpen"], axis=1)
    assert gone.max() < 0.005  # offsets of millimetres turn with their triangles; the renderer's do not

    turn = np.array([0, 0.4, 0])
    turned = drive(head, {}, {"head": turn}).means.numpy()
    above = vertices[:, 1] > 1.6
    pivot = PLACES[2]
    expected = Rotation.from_rotvec(turn).apply(rest.means.numpy() - pivot) + pivot
    np.testing.assert_allclose(turned[above], expected[above], atol=1e-3)
    np.testing.assert_allclose(turned[vertices[:, 1] < 1.505], rest.means[vertices[:, 1] < 1.505], atol=5e-3)


def test_damaged_and_hostile_lam_files_are_refused_by_name(made, tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"

    def rewritten(name: str, content: bytes) -> None:
        with zipfile.ZipFile(made[0]) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.infolist():
                new.writestr(entry.filename, content if entry.filename.endswith(name) else old.read(entry))

    with zipfile.ZipFile(made[0]) as archive:
        skin = archive.read("p2-1/skin.glb")
    for name, content, says in (
        ("skin.glb", skin[:-100], "cut short"),
        ("skin.glb", skin.replace(b'"head"', b'"heax"'), "no bone named head"),
        ("skin.glb", b"[" * 10_000, "damaged"),
        (
            "offset.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n0\n",
            r"offset\.ply in bad",
        ),
        ("skin.glb", bytes(700_000_000), "unpacks to more"),
    ):
        rewritten(name, content)
        with pytest.raises(AvatarError, match=says) as refused:
            import_head(path, Wanted("x"), Progress())
        assert "bad.zip" in str(refused.value)
