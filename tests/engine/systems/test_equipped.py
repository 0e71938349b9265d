"""A user's own weights: from photos to an avatar with UIKA's official file, and no word on what does not go together
until something has been worked on for minutes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine import assets, avatar, cli, pipeline
from engine.errors import AssetError, EngineError, HeadModelError
from engine.heads import load_head
from engine.heads.flame_file import read_flame
from engine.models.learned.reconstruct import trained
from engine.models.learned.weights import shipped
from engine.models.uika import UIKA
from engine.pipeline import Options
from tests.engine.heads.flame_fixture import flame_arrays
from tests.engine.models.official.checkpoint import TABLES, tables_for, tiny_weights, write
from tests.engine.models.parity import TINY_UIKA, tensors
from tests.fuzz import addon_reader

REACH = 0.02  # of the public code's random offsets, which reach 10 cm


@pytest.fixture(scope="module")
def flame() -> dict[str, np.ndarray]:
    """FLAME's arrays with the default head's mesh."""
    head = load_head()
    arrays = flame_arrays(head.template, head.faces)
    return arrays | {"shapedirs": arrays["shapedirs"][..., :12], "n_shape": np.array(8)}


@pytest.fixture(scope="module")
def folder(flame, tmp_path_factory) -> Path:
    """A checkpoint, FLAME files of several kinds, and files of weights that are something else."""
    path, head = tmp_path_factory.mktemp("weights"), load_head()
    skin = ~head.face_region("eyes", "teeth", "tongue", "mouth_interior", "lashes")
    tables = tables_for(head, flame, skin)
    write(path / "uika.safetensors", tiny_weights(reach=REACH), tables)
    write(path / "slim.safetensors", tiny_weights(estimator=False), tables)
    write(path / "no_tables.safetensors", tiny_weights())
    write(path / "fuvt_15k.safetensors", tensors("fuvt_tiny_weights"))
    write(path / "match.safetensors", tensors("match_tiny_weights"))
    write(path / "other.safetensors", {"weight": torch.zeros(3)})
    shutil.copy(shipped("match"), path / "trained.safetensors")
    (path / "text.safetensors").write_text("<!doctype html>")
    (path / "uika.ckpt").write_bytes(b"PK")
    np.savez(path / "flame2023.npz", **flame)
    np.savez(path / "flame2020.npz", **flame | {"v_template": flame["v_template"] * 1.001})
    jawless = flame["shapedirs"] * np.where(np.arange(12) < 8, 1, 0.9)
    np.savez(path / "flame2023_no_jaw.npz", **flame | {"shapedirs": jawless})
    np.savez(path / "small.npz", **flame | {"shapedirs": flame["shapedirs"][..., :10]})
    return path


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(UIKA, "paper", staticmethod(lambda: TINY_UIKA))


@pytest.mark.parametrize(
    ("system", "weights", "head", "said", "way_out"),
    [
        ("match", "uika", "flame2023", "uika.safetensors holds weights of uika, with which match", "--system uika"),
        ("surface", "trained", "", "trained.safetensors holds weights of match, with which surface", "--system match"),
        ("uika", "uika", "", "uika.safetensors was trained on FLAME, not on the head makehuman", "flame2023.pkl"),
        ("uika", "uika", "flame2020", "flame2020.npz has another mean head", "flame2023.pkl"),
        ("uika", "uika", "flame2023_no_jaw", "other expressions: it is the variant without jaw", "flame2023.pkl"),
        ("uika", "uika", "small", "has 3891 vertices and 10 components", "flame2023.pkl"),
        ("uika", "uika", "missing", "missing.npz cannot be read", "Check the path"),
        ("uika", "slim", "flame2023", "slim.safetensors was saved without UIKA's UV", "--correspondence tracking"),
        ("uika", "no_tables", "flame2023", "lacks renderer.flame_model.valid_mask_flatten", "Download"),
        ("uika", "fuvt_15k", "flame2023", "holds UIKA's UV estimator alone", "uika.safetensors"),
        ("match", "match", "", "holds MATCH's official weights, with which nothing", "Sapiens"),
        ("match", "trained", "flame2023", "trained.safetensors was trained on the default head alone", "--head"),
        ("match", "other", "", "other.safetensors holds no weights that this engine knows", "docs/systems.md"),
        ("match", "text", "", "text.safetensors cannot be read as weights", "again"),
        ("match", "absent", "", "absent.safetensors are missing", "docs/systems.md"),
        ("match", "", "flame2023", "The network match was trained on the default head alone", "surface"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(folder, system, weights, head, said, way_out):
    """Before any photo is opened: by options alone."""
    file = str(folder / f"{weights}.safetensors") if weights else ""
    with pytest.raises(EngineError) as refused:
        Options(system, str(folder / f"{head}.npz") if head else "makehuman", weights=file)
    message = refused.value.message.replace(f"{len(load_head().template)} vertices", "3891 vertices")
    assert said in message and way_out in refused.value.hint


def test_other_choices_are_refused_too(folder):
    official = partial(Options, "uika", weights=str(folder / "uika.safetensors"))
    with pytest.raises(AssetError, match=r"uika\.ckpt is no file of weights"):
        Options("uika", weights=str(folder / "uika.ckpt"))
    with pytest.raises(EngineError, match="no correspondence called mesh"):
        official(str(folder / "flame2023.npz"), correspondence="mesh")
    with pytest.raises(EngineError, match="Only official weights have a correspondence"):
        Options("surface", correspondence="tracking")
    shutil.copy(folder / "flame2023.npz", folder / "mine.npz")
    mine = str(folder / "mine.npz")
    assert official(mine).equipped is official(mine).equipped
    shutil.copy(folder / "flame2020.npz", folder / "mine.npz")
    with pytest.raises(HeadModelError, match=r"mine\.npz has another mean head"):  # it is not taken for what it was
        official(mine)


def test_weights_that_somebody_trained_fill_the_network(folder):
    """One number of the engine's own is changed, and it is that one which the network has."""
    tensors_of_mine = load_file(shipped("uika"))
    tensors_of_mine["heads.layers.offset.bias"][1] = 7
    with safe_open(shipped("uika"), framework="pt") as file:
        about = file.metadata()
    save_file(tensors_of_mine, folder / "mine.safetensors", about)
    mine = Options("uika", weights=str(folder / "mine.safetensors")).equipped
    assert isinstance(mine.reconstruct, partial) and mine.adding is None
    filled = trained(*mine.reconstruct.args).network.state_dict()["heads.layers.offset.bias"]
    assert filled[1] == 7 and filled[2] == tensors_of_mine["heads.layers.offset.bias"][2].float()


@pytest.mark.slow
def test_from_a_photo_to_an_avatar(folder, tmp_path, monkeypatch):
    """As the command does it; the head model's completion, which takes half a minute, stands in."""
    head = replace(load_head(), name="flame")
    monkeypatch.setattr(pipeline, "load_head", lambda source: head)
    made = tmp_path / "head.npz"
    words = ["reconstruct", str(assets.path("samples/person_b_1.jpg")), "-o", str(made), "--system", "uika", "--refine"]
    words += ["0", "--weights", str(folder / "uika.safetensors"), "--head", str(folder / "flame2023.npz")]
    assert cli.main(words) == 0
    known = avatar.load(made)
    assert known.provenance["head_model"]["name"] == "flame"
    moved = np.linalg.norm(known.vertices - read_flame(folder / "flame2023.npz").template, axis=1)
    assert 1e-5 < moved.mean() < 0.01  # the mesh went along
    texels = load_file(folder / "uika.safetensors")[f"{TABLES}v_template_pix"]
    g = known.gaussians
    assert len(known.faces) == len(head.faces) + 1  # the mouth's
    anchors = (known.vertices[known.faces[g.triangles]] * g.barycentrics.numpy()[..., None]).sum(1)
    assert len(g) > len(texels) and np.abs(anchors).max() < 0.6
    read_in_blender, _ = addon_reader()
    read_in_blender(made)
    assert known.views[0].name == "person_b_1.jpg"
