"""A built head is kept, and what is damaged or cannot be kept costs time only."""

import tempfile

import numpy as np
import pytest

from engine import heads
from engine.heads import load_head


@pytest.fixture
def building(tmp_path, monkeypatch):
    """Loads a head of a made-up kind from an empty cache; counts how often it is built."""
    source, built = load_head(), []
    (tmp_path / "assets").mkdir()
    monkeypatch.setattr(heads.assets, "root", lambda: tmp_path / "assets")
    monkeypatch.setenv("GAUSSIAN_HEADS_CACHE", str(tmp_path / "cache"))

    def load():
        head = heads._cached("kind", b"code", lambda: built.append(1) or source)
        np.testing.assert_array_equal(head.template, source.template)
        assert head.expression_names == source.expression_names
        return len(built)

    return load


@pytest.mark.parametrize("harm", ["cut", "emptied", "altered"])
def test_a_damaged_head_is_built_again(building, tmp_path, harm):
    assert (building(), building()) == (1, 1)
    (path,) = (tmp_path / "cache").iterdir()
    content = bytearray(path.read_bytes())
    match harm:
        case "cut":
            del content[len(content) // 2 :]
        case "emptied":
            content.clear()
        case "altered":
            content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert (building(), building()) == (2, 2)


def test_where_no_folder_can_be_written_the_users_own_keeps_it(building, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file in the folder's place")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert (building(), building()) == (1, 1)
