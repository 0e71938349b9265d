"""Avatar files that are damaged, hostile, of another version, or no avatars at all."""

from __future__ import annotations

import dataclasses
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
from hypothesis import given, settings, strategies as st

from engine.avatar import Avatar, drive, load, save
from engine.errors import AvatarError
from tests.engine.avatars import PROVENANCE, assert_same, make_avatar, with_eigenbasis
from tests.peaks import peak

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / "ada.npz"
    save(make_avatar(), path)
    return path


sizes = st.integers(0, 40)


@pytest.mark.slow
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


@pytest.mark.slow
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
