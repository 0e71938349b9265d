"""The avatar file: exact round trips, refusal of everything damaged or hostile, atomic writes; and driving."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings, strategies as st
from scipy.spatial.transform import Rotation

from engine.atomic import atomic_write
from engine.avatar import Avatar, SourceView, deform, drive, drive_view, load, save
from engine.errors import AvatarError, OutputError
from engine.gaussians.binding import pose
from engine.gaussians.eigenbasis import STEPS, Eigenbasis, motion_features
from engine.gaussians.gaussians import BoundGaussians
from tests.peaks import peak

ROOT = Path(__file__).parents[2]
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


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / "ada.npz"
    save(make_avatar(), path)
    return path


sizes = st.integers(0, 40)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), gaussians=sizes, keys=st.integers(0, 4), joints=st.integers(5, 7), views=sizes)
def test_what_is_saved_is_loaded(tmp_path_factory, seed, gaussians, keys, joints, views):
    avatar = make_avatar(seed, gaussians, keys, joints, min(views, 4))
    path = tmp_path_factory.mktemp("round") / "ada.npz"
    save(avatar, path)
    assert_same(avatar, load(path))
    first = path.read_bytes()
    save(load(path), path)
    assert path.read_bytes() == first


def test_an_eigenbasis_is_kept_in_half_floats(tmp_path):
    avatar, path = with_eigenbasis(make_avatar()), tmp_path / "ada.npz"
    save(avatar, path)
    loaded = load(path)
    assert avatar.eigenbasis is not None and loaded.eigenbasis is not None
    before, after = (
        (torch.einsum("mk,kna->mna", each.gains, each.basis) / torch.tensor(STEPS))
        for each in (avatar.eigenbasis, loaded.eigenbasis)
    )
    assert (after - before).abs().max() < 2**-11 * before.abs().max()
    for one, other in zip(*(vars(drive(each, {"key1": 0.8})).values() for each in (avatar, loaded)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    first = path.read_bytes()
    save(loaded, path)
    assert path.read_bytes() == first
    assert_same(load(path), loaded)


def test_an_eigenbasis_that_does_not_fit_is_refused(saved, tmp_path):
    basis, gains = np.zeros((2, 20, 14), np.float16), np.zeros((18, 2), np.float32)  # 3 keys, 5 joints
    assert load_with(saved, eigenbasis=npy(basis), eigenbasis_gains=npy(gains)).eigenbasis is not None
    endless, far = basis.copy(), gains.copy()
    endless[1, 3, 5], far[0, 0] = np.nan, 1e6
    for field, changed_basis, changed_gains in (
        ("eigenbasis", basis[:, :-1], gains), ("eigenbasis", basis[:, :, :-1], gains), ("eigenbasis", endless, gains),
        ("eigenbasis", basis + np.float16(3), gains), ("eigenbasis", np.zeros((33, 20, 14), np.float16), gains),
        ("eigenbasis", basis[:0], gains[:, :0]), ("eigenbasis", basis.astype(np.float32), gains),
        ("eigenbasis_gains", basis, gains[:-1]), ("eigenbasis_gains", basis, gains[:, :1]),
        ("eigenbasis_gains", basis, far), ("eigenbasis_gains", basis, None), ("eigenbasis", None, gains),
    ):  # fmt: skip
        replaced = {"eigenbasis": changed_basis, "eigenbasis_gains": changed_gains}
        with pytest.raises(AvatarError, match=rf"hostile\.npz.*field '{field}'"):
            load_with(
                saved, **{name: None if a is None else npy(np.ascontiguousarray(a)) for name, a in replaced.items()}
            )
    avatar = with_eigenbasis(make_avatar())
    assert avatar.eigenbasis is not None
    fewer = dataclasses.replace(avatar.eigenbasis, basis=avatar.eigenbasis.basis[:, 1:])
    with pytest.raises(AvatarError, match="eigenbasis"):
        save(dataclasses.replace(avatar, eigenbasis=fewer), tmp_path / "ada.npz")


def test_photo_names_never_stop_a_save(tmp_path):
    avatar = make_avatar(views=1)
    view = dataclasses.replace(avatar.views[0], name="J\udce9r\u00f4me \\\n\U0001f600.jpg")
    save(dataclasses.replace(avatar, views=(view,)), tmp_path / "ada.npz")
    assert load(tmp_path / "ada.npz").views[0].name == "J?r\u00f4me \\\n\U0001f600.jpg"


# --- damage ---------------------------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_harmless_or_refused(saved, data):
    content = bytearray(saved.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1) | st.integers(len(content) - 2000, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    damaged = saved.with_name("flipped.npz")
    damaged.write_bytes(content)
    try:
        loaded = load(damaged)
    except AvatarError as error:
        refusal = error.message
    else:
        assert_same(loaded, load(saved))
        return
    assert "flipped.npz" in refusal


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_truncated_file_is_refused(saved, data):
    content = saved.read_bytes()
    damaged = saved.with_name("short.npz")
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(AvatarError, match=r"short\.npz.*truncated"):
        load(damaged)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300))
def test_other_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "noise.npz"
    path.write_bytes(content)
    with pytest.raises(AvatarError, match=r"noise\.npz"):
        load(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    for path in (tmp_path / "absent.npz", tmp_path):
        with pytest.raises(AvatarError, match="cannot be read"):
            load(path)


# --- hostile contents -----------------------------------------------------------------------------------------------


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def load_with(saved: Path, **replaced: bytes | None) -> Avatar:
    """Load a well-formed archive in which some members are other bytes, or missing."""
    path = saved.with_name("hostile.npz")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members(saved) | {f"{k}.npy": v for k, v in replaced.items()}).items():
            if content is not None:
                archive.writestr(name, content)
    return load(path)


def header(shape: str, dtype: str = "<f4", content: bytes = b"") -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + content


class Bomb:
    """Unpickling it would raise something that is no AvatarError."""

    def __reduce__(self):
        return (os._exit, (42,))


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("vertices", None),
        ("vertices", b""),
        ("vertices", npy(np.array([Bomb()], dtype=object))),
        ("vertices", pickle.dumps(Bomb())),
        ("metadata", npy(np.array(Bomb(), dtype=object))),
        ("extra", npy(np.zeros(3))),
        ("../../vertices", npy(np.zeros(3))),
        ("vertices", header("(1000000000000, 3)")),
        ("vertices", header("(199999, 3)")),
        ("vertices", header("(-1, 3)")),
        ("vertices", header("(42, 3)", "<f4", b"\0" * (42 * 12 + 4))),
        ("vertices", header("(" * 90 + ")" * 90)),
        ("vertices", header("(__import__('os').abort(), 3)")),
        ("opacities", npy(np.zeros((20, 1), np.float32))),
        ("opacities", npy(np.zeros(19, np.float32))),
        ("opacities", npy(np.zeros(20, np.float64))),
        ("opacities", npy(np.zeros(20, ">f4"))),
        ("quats", npy(np.zeros((20, 4), np.float32, order="F") + np.float32(0.5))),
        ("key_starts", npy(np.zeros(0, np.int32))),
        ("version", npy(np.zeros(1, np.int32))),
    ],
)
def test_hostile_arrays_are_refused_by_name(saved, field, content):
    if field == "quats":
        content = content.replace(b"'fortran_order': False", b"'fortran_order': True ")
    with pytest.raises(AvatarError, match=rf"hostile\.npz.*{field}"):
        load_with(saved, **{field: content})


def changed(name: str, place: tuple[int, ...] | int, value: float) -> Callable[[dict], None]:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name][place] = value

    return change


@pytest.mark.parametrize(
    ("field", "place", "value"),
    [
        ("vertices", (3, 1), np.nan), ("vertices", (3, 1), np.inf), ("vertices", (0, 0), 1e9),
        ("faces", (0, 0), -1), ("faces", (79, 2), 42), ("uv", 0, 2.0), ("uv_faces", (0, 0), 50),
        ("regions", (0, 0), 2), ("key_starts", 0, 1), ("key_starts", 1, 10_000), ("key_starts", -1, 2**31 - 1),
        ("key_vertices", 0, -1), ("key_vertices", 1, 0), ("key_vertices", 0, 42), ("key_deltas", (0, 0), np.nan),
        ("joint_parents", 0, 0), ("joint_parents", 0, 2), ("joint_parents", 1, -2), ("joint_parents", 1, 2**31 - 1),
        ("joint_positions", (0, 0), np.nan), ("skin_weights", (5, 0), 2.0), ("skin_weights", (5, 0), np.nan),
        ("triangles", 0, -1), ("triangles", 0, 80), ("barycentrics", (0, 0), 5.0), ("offsets", (1, 1), np.nan),
        ("quats", 0, 0.0), ("quats", 0, 3e38), ("scales", (0, 0), 0.0), ("scales", (0, 0), -0.1),
        ("scales", (0, 0), np.inf), ("opacities", 0, 1.01), ("opacities", 0, np.nan), ("colors", (0, 0), 9.0),
        ("parts", 0, 3), ("view_viewmats", (0, 3, 3), 2.0), ("view_viewmats", (0, 0, 0), np.nan),
        ("view_viewmats", (0, 0), 0.0), ("view_Ks", (0, 0, 0), 0.0), ("view_Ks", (1, 2, 2), 2.0),
        ("view_sizes", (0, 0), 0), ("view_expressions", (0, 0), np.nan), ("view_joint_rotations", (0, 0, 0), 1e3),
    ],
)  # fmt: skip
def test_impossible_values_are_refused_by_name(saved, field, place, value):
    array = np.load(saved)[field]
    array[place] = value
    with pytest.raises(AvatarError, match=rf"hostile\.npz.*{field}"):
        load_with(saved, **{field: npy(array)})


def metadata_with(saved: Path, **replaced: object) -> bytes:
    metadata = json.loads(np.load(saved)["metadata"].tobytes()) | replaced
    return json.dumps(metadata).encode()


@pytest.mark.parametrize(
    "name", ["../ada", "a/b", "a\\b", "", ".", "..", " ada", "a\0b", "a\nb", "a" * 64, "\ud800", 7, None, ["a"]]
)
def test_names_that_are_paths_or_no_text_are_refused(saved, name):
    for field, value in (("name", name), ("key_names", ["key0", "key1", name]), ("region_names", ["face", name])):
        with pytest.raises(AvatarError, match=rf"{field}|metadata"):
            load_with(saved, metadata=npy(np.frombuffer(metadata_with(saved, **{field: value}), np.uint8)))


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe", b"", b"[]", b"null", b"[" * 100_000, b'{"name": "a"}', b"9" * 5000, b"NaN", b'"\\ud800"',
    ],
)  # fmt: skip
def test_metadata_that_is_no_table_is_refused(saved, content):
    with pytest.raises(AvatarError, match="metadata"):
        load_with(saved, metadata=npy(np.frombuffer(content, np.uint8)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key_names", ["a", "a", "b"]), ("key_names", ["a", "b"]), ("key_names", "abc"), ("joint_names", None),
        ("view_names", ["a", ""]), ("view_names", ["a", "b" * 2000]), ("more", 1), ("provenance", []),
        ("provenance", PROVENANCE | {"created": "yesterday"}), ("provenance", PROVENANCE | {"photos": [{"name": "a"}]}),
        ("provenance", PROVENANCE | {"head_model": {}}), ("provenance", PROVENANCE | {"metrics": None}),
    ],
)  # fmt: skip
def test_wrong_metadata_is_refused(saved, field, value):
    content = metadata_with(saved, **{field: value})
    with pytest.raises(AvatarError, match=field if field != "more" else "metadata"):
        load_with(saved, metadata=npy(np.frombuffer(content, np.uint8)))


def test_another_version_says_so(saved):
    with pytest.raises(AvatarError, match="version 2.*Update"):
        load_with(saved, version=npy(np.array(2, np.int32)), later=npy(np.zeros(1)))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(saved, tmp_path):
    path = tmp_path / "bomb.npz"
    content = saved.read_bytes()
    # The zip directory comes last; its record for a member states the unpacked size 22 bytes before the name.
    place = content.rindex(b"version.npy") - 22
    assert int.from_bytes(content[place : place + 4], "little") == len(members(saved)["version.npy"])
    path.write_bytes(content[:place] + (2_000_000_000).to_bytes(4, "little") + content[place + 4 :])
    with pytest.raises(AvatarError, match="more than the 64 MB"):
        load(path)


def packed(path: Path, name: str, unpacked: bytes, declared: int) -> None:
    """Put an entry into an archive that declares less than it holds, with the checksum of what it declares."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, unpacked)
    content = bytearray(path.read_bytes())
    for place in (content.rindex(name.encode()) - 22, content.index(name.encode()) - 8):
        content[place : place + 4] = declared.to_bytes(4, "little")
        content[place - 8 : place - 4] = zlib.crc32(unpacked[:declared]).to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("megabytes", [1, 400])
def test_an_entry_that_goes_on_beyond_what_it_declares_is_refused(saved, tmp_path, megabytes):
    """Nothing of what it hides is unpacked: the peak stays where it is however much that is."""
    path = tmp_path / "more.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members(saved).items():
            if name != "opacities.npy":
                archive.writestr(name, content)
    array = members(saved)["opacities.npy"]
    packed(path, "opacities.npy", array + bytes(megabytes * 10**6), len(array))
    with pytest.raises(AvatarError, match="opacities"):
        load(path)
    read = (
        "from engine.formats.avatar_layout import LAYOUT\nfrom engine.formats.npz import read_npz\n"
        "read_npz(sys.argv[1], LAYOUT)"
    )
    mebibytes, refusal = peak(read, path)
    assert mebibytes < 150 and "opacities" in refusal


def test_a_small_file_may_not_unpack_to_much(saved, tmp_path):
    with zipfile.ZipFile(tmp_path / "small.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members(saved).items():
            if name not in ("eigenbasis.npy", "eigenbasis_gains.npy"):
                archive.writestr(name, content)
        many = 4_000_000
        for name, shape in (("eigenbasis", (9, many, 14)), ("eigenbasis_gains", (18, 9))):
            archive.writestr(f"{name}.npy", header(str(shape), "<f2"))
    with pytest.raises(AvatarError, match="eigenbasis"):  # declared by the header alone
        load(tmp_path / "small.npz")


def test_a_file_of_version_1_is_read_for_ever():
    """tests/kept/version_1.npz was written when the format had no other version; never write it anew."""
    avatar = load(ROOT / "tests" / "kept" / "version_1.npz")
    assert (avatar.name, len(avatar.gaussians), avatar.key_names) == ("Ada", 20, ("key0", "key1", "key2"))
    assert avatar.eigenbasis is not None and len(avatar.views) == 2
    assert drive(avatar, {"key1": 0.5}, {"jaw": [0.2, 0, 0]}).means.isfinite().all()


def test_saving_refuses_what_loading_would(tmp_path):
    avatar = make_avatar()
    path = tmp_path / "ada.npz"
    bad_quats = dataclasses.replace(avatar.gaussians, quats=avatar.gaussians.quats * 2)
    for field, value in (
        ("name", "a/b"), ("gaussians", bad_quats), ("uv_faces", avatar.uv_faces[:-1]), ("key_names", ("a", "b", "b")),
        ("provenance", PROVENANCE | {"metrics": {"psnr": np.nan}}), ("provenance", PROVENANCE | {"options": {1: path}}),
    ):  # fmt: skip
        with pytest.raises(AvatarError, match=r"ada\.npz"):
            save(dataclasses.replace(avatar, **{field: value}), path)
    assert list(tmp_path.iterdir()) == []


# --- atomic writes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "says"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "may not be written"), (errno.EACCES, "may not be written")],
)
@pytest.mark.parametrize("function", ["open", "fsync", "replace"])
def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch, code, says, function):
    path = tmp_path / "ada.npz"
    save(make_avatar(), path)
    old = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(f"engine.atomic.os.{function}", fail)
    with pytest.raises(OutputError) as caught:
        save(make_avatar(seed=1), path)
    monkeypatch.undo()
    assert says in caught.value.message and str(tmp_path) in caught.value.message and caught.value.hint
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "ada.ply"
    path.write_text("old")

    def write_half(failure: BaseException) -> None:
        with atomic_write(path) as temporary:
            assert temporary.suffix == ".ply" and temporary.parent == tmp_path
            temporary.write_text("half")
            raise failure

    with pytest.raises(OutputError):
        write_half(OSError(errno.ENOSPC, "full"))
    with pytest.raises(KeyboardInterrupt):
        write_half(KeyboardInterrupt())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to the superuser")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="may not be written"):
        save(make_avatar(), tmp_path / "ada.npz")
    tmp_path.chmod(0o700)


def test_impossible_places_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.npz").mkdir()
    for place in ("absent/ada.npz", "file/ada.npz", "folder.npz", "a" * 300 + ".npz"):
        with pytest.raises(OutputError):
            save(make_avatar(), tmp_path / place)
    with pytest.raises(OutputError):
        save(make_avatar(), "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.npz"]


# --- driving --------------------------------------------------------------------------------------------------------


def deform_one_by_one(avatar: Avatar, expression: dict[str, float], rotations: dict[str, list[float]]) -> np.ndarray:
    """Keys and skinning vertex by vertex: each joint turns what its children have turned."""
    out = []
    for v, vertex in enumerate(avatar.vertices.astype(np.float64)):
        shaped = vertex + sum(w * avatar.key_deltas[avatar.key_names.index(k), v] for k, w in expression.items())
        total = avatar.skin_weights[v, 0] * shaped
        for joint in range(len(avatar.joint_names)):
            point, parent = shaped, joint
            while parent >= 0:
                turn = Rotation.from_rotvec(rotations.get(avatar.joint_names[parent], [0, 0, 0]))
                point = turn.apply(point - avatar.joint_positions[parent]) + avatar.joint_positions[parent]
                parent = avatar.joint_parents[parent]
            total = total + avatar.skin_weights[v, joint + 1] * point
        out.append(total)
    return np.array(out)


def test_driving_moves_keys_then_bones():
    avatar = make_avatar()
    expression, rotations = {"key2": 0.7, "key0": -0.2}, {"neck": [0.1, 0.5, -0.2], "jaw": [0.0, 0.0, 1.0]}
    splats = drive(avatar, expression, rotations)
    vertices = deform_one_by_one(avatar, expression, rotations)
    still = [0, 0, 0]
    weights, rotvecs = np.array([-0.2, 0.0, 0.7]), np.array([rotations["neck"], still, rotations["jaw"], still, still])
    np.testing.assert_allclose(deform(avatar, weights, rotvecs), vertices, atol=1e-6)
    flat = dataclasses.replace(avatar.gaussians, offsets=torch.zeros(20, 3))
    anchors = drive(dataclasses.replace(avatar, gaussians=flat), expression, rotations).means
    corners = vertices[avatar.faces[avatar.gaussians.triangles]]
    expected = np.einsum("nk,nkd->nd", avatar.gaussians.barycentrics, corners)
    np.testing.assert_allclose(anchors, expected, atol=1e-6)
    assert (splats.means - anchors).norm(dim=1).max() > 1e-3
    view = dataclasses.replace(avatar.views[0], expression=weights, joint_rotations=rotvecs)
    assert_same(drive_view(avatar, view), splats)


def test_driving_applies_the_eigenbasis_before_the_mesh():
    avatar = with_eigenbasis(make_avatar())
    view = avatar.views[0]
    assert avatar.eigenbasis is not None
    features = motion_features(torch.from_numpy(view.expression), torch.from_numpy(view.joint_rotations)).float()
    gaussians = avatar.eigenbasis.apply(avatar.gaussians, features)
    vertices = deform(avatar, view.expression, view.joint_rotations)
    expected = pose(gaussians, vertices, torch.from_numpy(avatar.faces).long(), avatar.rest_areas)
    assert_same(drive_view(avatar, view), expected)
    plain = dataclasses.replace(avatar, eigenbasis=None)
    assert (drive_view(plain, view).means - expected.means).norm(dim=1).max() > 1e-3
    assert_same(drive(avatar, {}), drive(plain, {}))


def test_unknown_names_are_refused():
    avatar = make_avatar()
    with pytest.raises(AvatarError, match="no shape key 'smile'.*key0"):
        drive(avatar, {"smile": 1.0})
    with pytest.raises(AvatarError, match="no joint 'tail'.*jaw"):
        drive(avatar, {}, {"tail": [0, 0, 0]})
