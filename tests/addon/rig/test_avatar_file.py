"""A damaged or hostile avatar file is refused with a sentence that names the field, and nothing of it is executed."""

import importlib
import io
import zipfile

import numpy as np
import pytest


@pytest.fixture
def files(addon):
    return importlib.import_module(f"{addon}.rig.avatar_file"), importlib.import_module(f"{addon}.errors").AddonError


def repack(path, **changes):
    """The avatar file's bytes with some arrays changed; None takes an array away."""
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files} | changes
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


def test_names_agree_with_the_engine(addon, avatar_path):
    arkit = importlib.import_module(f"{addon}.arkit")
    avatar = importlib.import_module(f"{addon}.rig.avatar_file").read_avatar(avatar_path)
    assert tuple(avatar.metadata["key_names"][:52]) == arkit.ARKIT_NAMES


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(files, avatar_path, share):
    reader, error = files
    data = avatar_path.read_bytes()
    with pytest.raises(error, match="Copy the file again"):
        reader.read_avatar(data[: int(len(data) * share)])


def test_what_lies_outside_is_refused_by_name(files, avatar_path):
    reader, error = files
    with np.load(avatar_path) as data:
        triangles, vertices, starts = data["triangles"], data["vertices"], data["key_starts"]
    cases = {
        "version": np.array(2, np.int32),
        "uv": None,
        "surprise": np.zeros(3),
        "triangles": triangles + 10**6,
        "vertices": np.where(np.arange(len(vertices))[:, None] == 5, np.nan, vertices).astype(np.float32),
        "key_starts": starts[::-1].copy(),
        "scales": np.zeros((len(triangles), 3), np.float32),
        "quats": np.zeros((len(triangles), 4), np.float64),
        "colors": np.zeros((len(triangles) - 1, 3), np.float32),
        "opacities": np.array([object()], dtype=object),
    }
    for field, value in cases.items():
        with pytest.raises(error, match=field):
            reader.read_avatar(repack(avatar_path, **{field: value}))


def test_a_huge_promise_is_refused_before_it_is_kept(files, avatar_path):
    reader, error = files
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**15, 3)})
    packed = io.BytesIO()
    with zipfile.ZipFile(avatar_path) as old, zipfile.ZipFile(packed, "w") as new:
        for item in old.infolist():
            content = old.read(item) if item.filename != "offsets.npy" else header.getvalue()
            new.writestr(item.filename, content)
    with pytest.raises(error, match="offsets"):
        reader.read_avatar(packed.getvalue())
