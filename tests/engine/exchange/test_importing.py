"""Splats come in from files that state neither axes nor a unit, stand upright, and move once they are bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from engine.avatar import Avatar, drive, load, save
from engine.cli import main
from engine.errors import AvatarError
from engine.exchange.glb_splats import read_glb_splats
from engine.exchange.importing import import_head
from engine.exchange.incoming import Wanted
from engine.exchange.similarity import Similarity
from engine.formats.splats.ply import write_ply
from engine.gaussians.gaussians import Splats
from engine.heads.register import similarity_between
from engine.progress import Progress
from engine.rendering import orbit_camera, render
from tests.engine.avatars import make_avatar
from tests.engine.exchange import people
from tests.engine.exchange.glb_file import write_glb


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The synthetic person's splats turned, scaled and shifted in a .ply, and what the command makes of it."""
    folder = tmp_path_factory.mktemp("in")
    write_ply(people.SOMEWHERE.splats(drive(people.head(), {})), folder / "Ada.ply")
    assert main(["import", str(folder / "Ada.ply"), "-o", str(folder / "static.npz")]) == 0
    return folder / "Ada.ply", folder / "static.npz"


def space_between(first: Splats, second: Splats) -> Similarity:
    """From the one to the other, in which the same splats are in the same order."""
    pair = [splats.means.double().numpy() for splats in (first, second)]
    return Similarity.of(similarity_between(*pair, np.ones(len(pair[0]))))


@pytest.mark.slow
def test_splats_of_unknown_axes_stand_upright_in_a_heads_size(imported: tuple[Path, Path]) -> None:
    static = load(imported[1])
    space = space_between(drive(people.head(), {}), drive(static, {}))
    assert Rotation.from_matrix(space.rotation).magnitude() < np.radians(5)
    assert 0.9 < space.scale < 1.1
    assert np.linalg.norm(space.shift) < 0.02
    assert static.provenance["kind"] == "static"
    assert not static.key_deltas.any() and len(static.vertices) == 8

    camera = orbit_camera(people.head(), 0.3, 0.1)
    goal = render(drive(people.head(), {}), camera).over(1.0)
    assert people.decibels(render(drive(static, {}), people.moved(camera, space)).over(1.0), goal) > 50


@pytest.mark.slow
def test_bound_splats_move_as_the_head_that_they_were_exported_from(
    imported: tuple[Path, Path], tmp_path: Path
) -> None:
    ada, output = people.head(), tmp_path / "bound.npz"
    assert main(["bind", str(imported[1]), "-o", str(output)]) == 0
    bound, static = load(output), load(imported[1])
    assert bound.key_names == ada.key_names and bound.joint_names == ada.joint_names
    space = _space_of_faces(ada, bound, static)
    camera = orbit_camera(ada, 0.0)
    for expression, least in (({}, 40), ({"jawOpen": 0.5}, 30), ({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, 32)):
        goal = render(drive(ada, expression), camera).over(1.0)
        shown = render(drive(bound, expression), people.moved(camera, space)).over(1.0)
        assert people.decibels(shown, goal) > least, expression
        if expression:
            still = render(drive(ada, {}), camera).over(1.0)
            assert people.decibels(shown, goal) > people.decibels(still, goal) + 5, expression
    assert main(["bind", str(output), "-o", str(tmp_path / "again.npz")]) == 5


def _space_of_faces(ada: Avatar, bound: Avatar, static: Avatar) -> Similarity:
    """From the exported head to the bound one, whose splats are fewer: by those that are the same to the last bit."""
    before, after = drive(ada, {}), drive(bound, {})
    rows = {row.tobytes(): k for k, row in enumerate(drive(static, {}).colors.numpy())}
    pairs = [(rows[row.tobytes()], k) for k, row in enumerate(after.colors.numpy()) if row.tobytes() in rows]
    first, second = np.array(pairs).T
    places, goals, weights = before.means[first].double().numpy(), after.means[second].double().numpy(), 1.0
    for _ in range(20):  # splats of the same colour are mistaken for each other
        space = Similarity.of(similarity_between(places, goals, np.broadcast_to(weights, len(places))))
        weights = 1 / (1 + (np.linalg.norm(space.points(places) - goals, axis=1) / 1e-4) ** 2)
    return space


@pytest.mark.slow
def test_splats_without_a_face_keep_their_size_where_it_can_be(tmp_path: Path) -> None:
    torch.manual_seed(0)
    means = torch.randn(500, 3) * 0.1
    cloud = Splats(means, torch.randn(500, 4), torch.full((500, 3), 0.01), torch.full((500,), 0.5), torch.rand(500, 3))
    for scale in (1.0, 1000.0):
        write_ply(Similarity(scale, np.eye(3), np.zeros(3)).splats(cloud), tmp_path / "cloud.ply")
        made = import_head(tmp_path / "cloud.ply", Wanted("cloud"), Progress())
        assert "No face was found" in made.notes[0]
        spread = drive(made.avatar, {}).means.std()
        assert abs(spread - 0.1) < 0.01 if scale == 1.0 else 0.05 < spread < 0.5
        save(made.avatar, tmp_path / "cloud.npz")


def test_splats_of_a_glb_are_where_its_scene_puts_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    means, turns = rng.normal(0, 0.1, (50, 3)), Rotation.random(50, random_state=0)
    scales, opacities, colors = rng.uniform(0.01, 0.02, (50, 3)), rng.uniform(0.1, 0.9, 50), rng.random((50, 3))
    write_glb(tmp_path / "a.glb", means, turns.as_quat(), scales, opacities, colors)
    read = read_glb_splats(tmp_path / "a.glb")
    node = Rotation.from_quat([0, 0.6, 0, 0.8])
    np.testing.assert_allclose(read.means, 2 * node.apply(means) + (1, 2, 3), atol=1e-5)
    found = Rotation.from_quat(read.quats.numpy()[:, [1, 2, 3, 0]])
    assert (found.inv() * node * turns).magnitude().max() < 1e-3
    for name, value in (("scales", 2 * scales), ("opacities", opacities), ("colors", colors)):
        np.testing.assert_allclose(getattr(read, name), value, atol=1e-5)
    (tmp_path / "cut.glb").write_bytes((tmp_path / "a.glb").read_bytes()[:-40])
    with pytest.raises(AvatarError, match=r"cut\.glb is damaged"):
        import_head(tmp_path / "cut.glb", Wanted("x"), Progress())


def test_an_avatar_file_comes_in_as_it_is(tmp_path: Path) -> None:
    save(make_avatar(), tmp_path / "a.npz")
    assert import_head(tmp_path / "a.npz", Wanted("Eva"), Progress()).avatar.name == "Eva"


def _picture(path: Path) -> None:
    Image.new("RGB", (8, 8)).save(path, "PNG")


FACE = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nelement face 1\nend_header\n"
CLOUD = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n0\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_picture, "is a picture"),
        (FACE, "is a mesh without Gaussians"),
        (CLOUD, "a point cloud without Gaussians"),
        (CLOUD.replace("float x", "uint packed_position"), "a compressed PLY"),
        ("<!DOCTYPE html><p>Log in", "a web page"),
        ("version https://git-lfs.github.com/spec/v1", "Git LFS"),
        ("", "is empty"),
        ("something", "of an unknown kind"),
    ],
)
def test_foreign_files_are_told_what_they_are(content, says: str, tmp_path: Path) -> None:
    path = tmp_path / "file.ply"
    content(path) if callable(content) else path.write_text(content)
    with pytest.raises(AvatarError, match=says) as refused:
        import_head(path, Wanted("x"), Progress())
    assert "damaged" not in str(refused.value)
