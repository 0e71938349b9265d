"""Other programs' files come in over HTTP, by the artist's own names for them; splats become a head."""

from __future__ import annotations

import pytest

from engine.avatar import drive, load
from engine.formats.splats.ply import write_ply
from tests.engine.exchange import people

pytestmark = pytest.mark.slow


def test_splats_come_in_and_are_bound(shared, tmp_path):
    write_ply(people.SOMEWHERE.splats(drive(people.head(), {})), tmp_path / "scan.ply")
    files = {"files": ("C:\\scans\\Tante Käthe.ply", (tmp_path / "scan.ply").read_bytes())}
    answer = shared.request("POST", "/import", files=files)
    assert answer.status_code == 200, answer.text
    (tmp_path / "static.npz").write_bytes(answer.content)
    static = load(tmp_path / "static.npz")
    assert static.name == "Tante Käthe"
    assert static.provenance["source"]["name"] == "Tante Käthe.ply"
    assert any("Bind to Head" in note for note in static.provenance["notes"])

    assert shared.request("PUT", "/heads/kaethe", data=answer.content).status_code == 200
    answer = shared.request("POST", "/heads/kaethe/bind")
    assert answer.status_code == 200, answer.text
    (tmp_path / "bound.npz").write_bytes(answer.content)
    bound = load(tmp_path / "bound.npz")
    assert bound.name == "Tante Käthe" and bound.key_deltas.any()
    assert shared.request("PUT", "/heads/kaethe", data=answer.content).status_code == 200
    again = shared.request("POST", "/heads/kaethe/bind")
    assert (again.status_code, again.json()["error"]["type"]) == (422, "AvatarError")


def test_a_foreign_file_is_named_by_the_artists_name_for_it(shared, portrait):
    answer = shared.request("POST", "/import", files={"files": ("Käthe.ply", portrait)})
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "Käthe.ply is a picture, not a head."
    answer = shared.request("POST", "/import", files={"files": ("a.ply", b"x")}, data={"head": "flame.pkl"})
    assert answer.status_code == 422
