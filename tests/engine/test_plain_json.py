"""JSON of strangers is understood or refused, and never read so deep that others are hurt."""

import gc
import json
import weakref
from pathlib import Path

import pytest

from engine import plain_json

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("text", ["", "[", "NaN", "[Infinity]", "[" * 65 + "]" * 65, '{"a":' * 90_000, '"' * 99_999])
def test_no_json_is_refused(text):
    with pytest.raises(ValueError, match="."):
        plain_json.parse(text)


def test_json_is_read():
    values = ["[" * 200, {"a\\": [{"b": ']}"\n'}] * 1000}, [[[1.5, None, True]]], "\\"]
    for value in (*values, json.loads("[" * 64 + "]" * 64)):
        assert plain_json.parse(json.dumps(value)) == value


def test_what_dies_meanwhile_dies_in_peace():
    """A collection of rubbish can begin at any depth of the parser, and has to have room there."""
    died = []

    class Ring:
        def __init__(self):
            self.ring = self
            weakref.finalize(self, lambda: died.append(json.dumps({"closed": True})))

    threshold = gc.get_threshold()
    gc.freeze()  # each collection is a short one then
    try:
        for allocations in range(1, 1000, 2):  # after so many lists, a collection begins
            gc.collect()
            Ring()
            gc.set_threshold(allocations)
            with pytest.raises(ValueError, match="deeper"):
                plain_json.parse("[" * 100_000)
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
    gc.collect()
    assert len(died) == 500


def test_both_halves_have_the_same_file():
    halves = [(ROOT / half / "plain_json.py").read_text() for half in ("engine", "blender_addon")]
    assert halves[0] == halves[1]
