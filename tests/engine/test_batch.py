"""A folder of people becomes a folder of heads, whatever one of them brings along."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from PIL import Image

from engine import assets
from engine.avatar import load
from engine.batch import find_people, reconstruct_people, save_blend
from engine.cli import main
from engine.errors import Cancelled, EngineError, PhotoError
from engine.pipeline import Options
from engine.progress import Progress

pytestmark = pytest.mark.slow

QUICK = ["--refine", "0", "--gaussians", "5000"]


@pytest.fixture
def people(tmp_path) -> Path:
    """Anna has two photos in a folder, a portrait lies beside it; one folder holds no face, others hold no photo."""
    folder = tmp_path / "people"
    for name in ("anna", "noface", "papers", ".hidden"):
        (folder / name).mkdir(parents=True)
    for i in (1, 2):
        shutil.copy(assets.path(f"samples/person_a_{i}.jpg"), folder / "anna" / f"{i}.JPG")
    (folder / "anna" / "notes.txt").write_text("two photos")
    Image.new("RGB", (200, 200)).save(folder / "noface" / "grey.png")
    (folder / "papers" / "letter.txt").write_text("Dear Sir")
    shutil.copy(assets.path("samples/astronaut.png"), folder / "astronaut.png")
    return folder


def blender(path: Path, text: str) -> Path:
    """A program that stands in for Blender."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


def test_everyone_but_the_broken_gets_a_head_and_the_exit_code_tells(people, tmp_path, capsys):
    assert main(["batch", str(people), "-o", str(tmp_path / "heads"), *QUICK]) == 1
    assert sorted(path.name for path in (tmp_path / "heads").iterdir()) == ["anna.npz", "astronaut.npz"]
    anna = load(tmp_path / "heads" / "anna.npz")
    assert (anna.name, [view.name for view in anna.views]) == ("anna", ["1.JPG", "2.JPG"])
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 3 people failed" in said
    assert "grey.png" in said


def test_when_all_went_well_the_exit_code_is_zero(people, tmp_path):
    shutil.rmtree(people / "noface")
    shutil.rmtree(people / "anna")
    assert main(["batch", str(people), "-o", str(tmp_path / "heads"), *QUICK]) == 0


def test_two_people_of_one_name_and_empty_folders_are_refused(people, tmp_path):
    shutil.copy(people / "astronaut.png", people / "anna.png")
    with pytest.raises(PhotoError, match="anna"):
        find_people(people)
    with pytest.raises(PhotoError, match="No photo"):
        find_people(people / "papers")
    with pytest.raises(PhotoError, match="nowhere"):
        find_people(tmp_path / "nowhere")


def test_a_cancelled_batch_stops_with_what_is_done(people, tmp_path):
    names = []

    def cancelled_at_the_second() -> bool:
        return len(set(names)) > 1

    progress = Progress(lambda name, fraction: names.append(name), cancelled_at_the_second)
    with pytest.raises(Cancelled):
        reconstruct_people(find_people(people), tmp_path / "heads", Options("surface", count=5000, refine_seconds=0),
                           None, progress)  # fmt: skip
    assert [path.name for path in (tmp_path / "heads").iterdir()] == ["anna.npz"]


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_blender_is_given_the_avatar_and_its_failure_is_told(tmp_path):
    head, blend = tmp_path / "anna.npz", tmp_path / "anna.blend"
    head.write_bytes(b"an avatar")
    # what it is given: … --python-expr TEXT -- AVATAR BLEND
    works = blender(tmp_path / "works", 'while [ "$1" != "--" ]; do shift; done; cp "$2" "$3"')
    save_blend(works, head, blend)
    assert blend.read_bytes() == b"an avatar"

    broken = blender(tmp_path / "broken", "echo 'RuntimeError: Error: No such operator.' >&2; exit 5")
    with pytest.raises(EngineError, match="No such operator"):
        save_blend(broken, head, blend)
    assert blend.read_bytes() == b"an avatar"
    silent = blender(tmp_path / "silent", "exit 0")
    with pytest.raises(EngineError, match="did not save"):
        save_blend(silent, head, blend)
    with pytest.raises(EngineError, match="no program"):
        reconstruct_people({"anna": [head]}, tmp_path, Options(), tmp_path / "missing", Progress())
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", "", "", ".blend", ".npz"]
