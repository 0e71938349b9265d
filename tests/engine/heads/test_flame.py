"""FLAME files: read as data only, refused when hostile or damaged, and completed to a head that does what it should."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy import sparse

from engine.arkit import ARKIT_NAMES
from engine.errors import HeadModelError
from engine.heads import lbs, load_head
from engine.heads.flame import load_flame
from engine.heads.flame_file import read_flame
from engine.heads.parametric import JOINTS, ParametricHead
from tests.engine.heads.flame_fixture import another_head, flame_arrays, write_pickle
from tests.engine.heads.flame_references import by_smplx, published
from tests.peaks import peak

pytestmark = pytest.mark.slow  # all of it waits for heads that are built once

READ = "from engine.heads.flame_file import read_flame\nread_flame(Path(sys.argv[1]))"


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.15)
    return flame_arrays(ball.vertices, ball.faces)


@pytest.fixture(scope="module")
def source() -> ParametricHead:
    return load_head()


@pytest.fixture(scope="module")
def completed(source: ParametricHead, tmp_path_factory: pytest.TempPathFactory):
    """A FLAME-format person with known correspondence, loaded: (head, arrays of the file, origins)."""
    content, origins = another_head(source)
    path = tmp_path_factory.mktemp("flame") / "person.npz"
    np.savez(path, **content)
    return load_flame(path, source), content, origins


def test_pickle_and_npz_hold_the_same(arrays: dict, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    write_pickle(tmp_path / "a.pkl", arrays)
    for path in (tmp_path / "a.npz", tmp_path / "a.pkl"):
        read = read_flame(path)
        np.testing.assert_allclose(read.template, arrays["v_template"], rtol=1e-6)
        np.testing.assert_array_equal(read.faces, arrays["f"])
        np.testing.assert_allclose(read.identity_basis[7], arrays["shapedirs"][..., 7], rtol=1e-6)
        np.testing.assert_allclose(read.expression_basis[7], arrays["shapedirs"][..., 307], rtol=1e-6)
        np.testing.assert_allclose(read.pose_correctives[9], arrays["posedirs"][..., 9], rtol=1e-6)
        np.testing.assert_allclose(read.joint_regressor, arrays["J_regressor"], rtol=1e-6)
        np.testing.assert_allclose(read.skin_weights, arrays["weights"], rtol=1e-5)


class _Call:
    def __init__(self, function: Callable, *arguments: object):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_hostile_pickles_do_nothing(protocol: int, arrays: dict, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "hostile.pkl"
    for function, arguments, name in (
        (os.system, (f"touch {marker}",), "system"),
        (eval, (f"open({str(marker)!r}, 'w')",), "eval"),
        (np.save, (marker, np.zeros(3)), "save"),
        (getattr, ("text", "upper"), "getattr"),
    ):
        path.write_bytes(pickle.dumps(arrays | {"J_regressor": _Call(function, *arguments)}, protocol=protocol))
        with pytest.raises(HeadModelError, match=rf"hostile\.pkl.*\.{name}\b.*nothing was executed"):
            read_flame(path)
    assert not list(tmp_path.glob("ran*"))


@pytest.mark.parametrize(
    ("key", "damage", "complaint"),
    [
        ("v_template", lambda a: a[:-1], "shape"),
        ("v_template", lambda a: a * 100, "metre"),
        ("v_template", lambda a: a * np.nan, "finite"),
        ("f", lambda a: a + np.uint32(5), "do not exist"),
        ("f", lambda a: a.astype(np.float64), "indices"),
        ("shapedirs", lambda a: a[..., :0], "components"),
        ("posedirs", lambda a: a[..., :9], "shape"),
        ("weights", lambda a: a * 2, "sum to 1"),
        ("weights", lambda a: a.astype(object), "a.(npz|pkl)"),
        ("kintree_table", lambda a: a[:, ::-1], "joints"),
        ("kintree_table", None, "lacks kintree_table"),
    ],
)
def test_damaged_models_are_refused(key: str, damage: Callable | None, complaint: str, arrays: dict, tmp_path: Path):
    content = {k: v for k, v in arrays.items() if k != key}
    if damage:
        content[key] = damage(arrays[key])
    np.savez(tmp_path / "a.npz", **content)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    for path in (tmp_path / "a.npz", tmp_path / "a.pkl"):
        with pytest.raises(HeadModelError, match=complaint):
            read_flame(path)


def test_broken_bytes_are_refused_or_read(arrays: dict, tmp_path: Path) -> None:
    """Cut and garbled files end in a HeadModelError or in a valid model: nothing else."""
    small = arrays | {"shapedirs": arrays["shapedirs"][..., :20]}
    path, rng = tmp_path / "broken.pkl", np.random.default_rng(0)
    write_pickle(path, small)
    whole = path.read_bytes()
    structure = [i for i in range(len(whole)) if i < 3000 or whole[i : i + 40].isascii()][:6000]
    refused = 0
    for attempt in range(150):
        broken = bytearray(whole)
        if attempt % 3 == 0:
            del broken[rng.integers(len(broken)) :]
        for place in rng.choice(structure, 3):
            if place < len(broken):
                broken[place] = rng.integers(256)
        path.write_bytes(broken)
        with suppress(HeadModelError):
            refused += 1
            assert np.isfinite(read_flame(path).template).all()
            refused -= 1
    assert refused > 50
    with pytest.raises(HeadModelError, match="absent"):
        read_flame(tmp_path / "absent.pkl")


@pytest.mark.parametrize("matrix", ["csc_array", "csr_matrix", "csr_array", "coo_matrix", "coo_array"])
def test_every_form_of_a_sparse_matrix_is_read(matrix: str, arrays: dict, tmp_path: Path) -> None:
    write_pickle(tmp_path / "plain.pkl", arrays)
    write_pickle(tmp_path / "other.pkl", arrays, getattr(sparse, matrix))
    plain, other = (read_flame(tmp_path / f"{name}.pkl").joint_regressor for name in ("plain", "other"))
    np.testing.assert_array_equal(plain, other)


def repeated(call: bytes, argument: bytes, times: int) -> bytes:
    """A pickle that makes one argument, keeps it, and hands it to a callable again and again."""
    return b"\x80\x02" + argument + b"q\x00" + b"0](" + (call + b"h\x00\x85R") * times + b"e."


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x05\x96" + (6 * 10**9).to_bytes(8, "little") + b".",  # BYTEARRAY8 of 6 GB
        b"\x80\x04\x8e" + (6 * 10**9).to_bytes(8, "little") + b".",  # BINBYTES8
        b"\x80\x02" + b"}" * 3_000_000 + b".",  # three million tables
        repeated(b"ccollections\nOrderedDict\n", b"](" + b"K\x01K\x02\x86" * 4_000 + b"e", 500),
        repeated(
            b"cbuiltins\nset\n", b"](" + b"".join(b"M" + i.to_bytes(2, "little") for i in range(9_000)) + b"e", 500
        ),
        b"\x80\x02X"
        + (600_000).to_bytes(4, "little")
        + b"a" * 600_000
        + b"q\x000]("
        + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 5_000
        + b"e.",
    ],
    ids=["bytearray", "bytes", "tables", "dicts", "sets", "encoded"],
)
def test_small_pickles_take_little_memory(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "flame.pkl").write_bytes(content)
    mebibytes, refusal = peak(READ, tmp_path / "flame.pkl")
    assert "flame.pkl" in refusal
    assert mebibytes < 200


def test_an_npz_that_hides_more_than_it_declares_takes_little_memory(arrays: dict, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "flame.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("v_template.npy", bytes(900_000_000))
    mebibytes, refusal = peak(READ, tmp_path / "flame.npz")
    assert "flame.npz" in refusal
    assert mebibytes < 200


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\n<!DOCTYPE html><html><body>Please log in</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
    ],
)
def test_what_downloads_leave_behind_is_named(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "flame.pkl").write_bytes(content)
    with pytest.raises(HeadModelError, match=sentence):
        read_flame(tmp_path / "flame.pkl")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files.")
def test_a_pipe_or_device_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "flame.pkl")
    for path in (tmp_path / "flame.pkl", Path("/dev/zero")):
        with pytest.raises(HeadModelError, match="is no file"):
            read_flame(path)


@pytest.mark.parametrize("reference", [published, by_smplx])
def test_moves_exactly_like_flame(completed, reference: Callable) -> None:
    """With the neck at rest the file's vertices go where FLAME puts them: shape, components, head, jaw, eyes."""
    head, content, _ = completed
    torch.manual_seed(3)
    shape, flame_expression = torch.randn(300), torch.randn(100)
    rotvecs = 0.5 * torch.randn(5, 3)
    rotvecs[0] = 0
    expected = reference(content, torch.cat([shape, flame_expression]).numpy(), rotvecs.numpy())

    expression = torch.cat([torch.zeros(52), flame_expression])
    vertices = lbs.shape_vertices(head, shape, expression)
    posed = lbs.skin(head, vertices, rotvecs, lbs.regress_joints(head, vertices))

    assert head.expression_names[:52] == ARKIT_NAMES
    assert head.expression_names[52] == "flame_expr_000"
    np.testing.assert_allclose(posed[: len(content["v_template"])], expected, atol=2e-6, rtol=0)


def test_keys_come_over(completed, source: ParametricHead) -> None:
    """The target is a known deformation of the source: every key must move its vertices as it moves the source's."""
    head, _, origins = completed
    for name in ARKIT_NAMES:
        k = ARKIT_NAMES.index(name)
        wanted = source.expression_basis[k, origins]
        if not wanted.any():
            continue
        found = head.expression_basis[k, : len(origins)]
        likeness = (wanted * found).sum() / np.linalg.norm(wanted) / np.linalg.norm(found)
        assert likeness > 0.93, (name, likeness)
        assert 0.8 < np.linalg.norm(found) / np.linalg.norm(wanted) < 1.25, name


def test_regions_come_over(completed, source: ParametricHead) -> None:
    head, _, origins = completed
    for name in ("lips", "lids", "ears", "face", "scalp", "eyes"):
        found, wanted = head.regions[name][: len(origins)], source.regions[name][origins]
        assert (found & wanted).sum() / (found | wanted).sum() > 0.65, name


def test_mouth_is_fitted(completed) -> None:
    """Teeth and tongue lie behind the lips; lower teeth and tongue go with the jaw, upper teeth stay."""
    head, _, _ = completed
    teeth, tongue, lips = (head.regions[name] for name in ("teeth", "tongue", "lips"))
    assert teeth.sum() > 50 and tongue.sum() > 50
    assert head.template[teeth | tongue, 2].max() < head.template[lips, 2].max() - 0.005
    jaw = head.skin_weights[:, 1 + JOINTS.index("jaw")]
    lower = teeth & (head.template[:, 1] < head.template[lips, 1].mean() - 0.004)
    assert jaw[lower & (jaw > 0.5)].size > 20
    assert jaw[tongue].mean() > 0.9
    opened = head.expression_basis[ARKIT_NAMES.index("jawOpen")]
    assert opened[teeth & (jaw > 0.5), 1].mean() < -0.01
    assert np.abs(opened[teeth & (jaw < 0.5)]).max() < 0.003


def test_lids_shut_and_eyes_turn(completed) -> None:
    head, _, origins = completed
    pins = head.faces[head.landmark_triangles]

    def landmark(k: int, expression: str) -> np.ndarray:
        moved = head.template + head.expression_basis[ARKIT_NAMES.index(expression)]
        return head.landmark_barycentrics[k] @ moved[pins[k]]

    for side, upper, lower, iris in (("Left", 386, 374, 473), ("Right", 159, 145, 468)):
        open_by = landmark(upper, f"eyeWide{side}")[1] - landmark(lower, f"eyeWide{side}")[1]
        shut_by = landmark(upper, f"eyeBlink{side}")[1] - landmark(lower, f"eyeBlink{side}")[1]
        assert open_by > 0.004
        assert shut_by < 0.001
        assert landmark(iris, f"eyeLookUp{side}")[1] > head.template[pins[iris]].mean(axis=0)[1] + 0.003
