"""Heads of other programs come in by way of the engine; splats that nothing moves are bound."""

import importlib
import json

import bpy
import pytest

from ..waiting import wait_for


@pytest.fixture
def api(stub, addon):
    return importlib.import_module(f"{addon}.api")


def make_static(head) -> None:
    """What the engine says of splats, on a head that stands in for them."""
    metadata = json.loads(head.root["gaussian_head_metadata"])
    metadata["provenance"] |= {"kind": "static", "notes": ["An adult's size."]}
    head.root["gaussian_head_metadata"] = json.dumps(metadata)


def test_splats_come_in_by_way_of_the_engine(stub, addon, tmp_path):
    (tmp_path / "scan.ply").write_bytes(b"ply")
    (tmp_path / "flame_param.npz").write_bytes(b"what belongs to it")
    assert bpy.ops.gaussian_heads.import_head(filepath=str(tmp_path / "scan.ply")) == {"FINISHED"}
    (head,) = stub.heads.all_heads(bpy.context.scene)
    assert len(head.keys) >= 52
    client = stub.engine.ENGINE.wait_ready()
    assert client._json("GET", "/seen")["uploads"][-1]["names"] == ["scan.ply", "flame_param.npz"]

    (tmp_path / "photo.ply").write_bytes(b"no head")
    with pytest.raises(RuntimeError, match=r"photo\.ply is a picture, not a head"):
        bpy.ops.gaussian_heads.import_head(filepath=str(tmp_path / "photo.ply"))


def test_a_file_is_read_while_blender_goes_on(api, stub, addon, tmp_path):
    errands, importing = (
        importlib.import_module(f"{addon}.{name}") for name in ("tasks.errands", "operators.importing")
    )
    (tmp_path / "scan.splat").write_bytes(bytes(32))
    read = api.prepare_import(tmp_path / "scan.splat")
    errand = errands.Errand("Import", read, lambda avatar: importing._bring(avatar, "Import Head"))
    assert errands.Errand.running == [errand] and not stub.heads.all_heads(bpy.context.scene)
    assert wait_for(lambda: not errand._thread.is_alive(), 60)
    while errand._poll() is not None:
        pass
    assert len(stub.heads.all_heads(bpy.context.scene)) == 1 and not errands.Errand.running


def test_binding_puts_the_head_in_the_place_of_the_splats(api, stub, avatar_path):
    head = api.import_head(avatar_path)
    assert not api.is_static(head) and api.notes_of(head) == []
    make_static(head)
    assert api.is_static(head) and api.notes_of(head) == ["An adult's size."]
    head.root.location, name = (1, 2, 3), head.name
    bpy.context.view_layer.update()
    assert bpy.ops.gaussian_heads.bind_head() == {"FINISHED"}
    (bound,) = stub.heads.all_heads(bpy.context.scene)
    assert bound.name == name and tuple(bound.root.location) == (1, 2, 3)
    assert not api.is_static(bound)
