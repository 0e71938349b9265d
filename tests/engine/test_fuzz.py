"""Damaged and hostile files by the thousand: each is read or refused by the reader's own error, alike on both sides."""

import io
import random

import pytest

from tests import fuzz

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", sorted(fuzz.READERS))
def test_every_file_is_read_or_refused(name):
    cases = 500 if name in fuzz.PACKETS else 2000  # packets are short, and hypothesis sends some, too
    assert [(number, fault) for number, _, _, fault in fuzz.run(name, cases)] == []


def test_the_changes_reach_behind_the_first_check(tmp_path):
    """Otherwise all files would be refused alike, and nothing would be compared."""
    reader, error = fuzz.addon_reader()
    said: dict[str, int] = {}
    for number in range(400):
        path = tmp_path / "case.npz"
        path.write_bytes(fuzz.change_avatar(random.Random(number), fuzz.KEPT.read_bytes()))
        try:
            reader(path)
            what = "read"
        except error as refusal:
            what = refusal.message.split("'")[1] if "'" in refusal.message else "damaged"
        said[what] = said.get(what, 0) + 1
    assert said["read"] > 20 and len(said) > 25, said


def test_the_comparison_notices_a_reader_that_checks_less(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "addon_reader", lambda: (lambda path: io.BytesIO(path.read_bytes()), ValueError))
    assert any(fault == "only the add-on reads it" for _, _, _, fault in fuzz.run("avatar", 30))
