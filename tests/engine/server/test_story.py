"""From photos to a previewed head, over HTTP, as Blender does it."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engine import assets
from engine.avatar import load
from engine.formats.splats.ply import read_ply
from engine.formats.viewers import from_file
from engine.pipeline import Options
from engine.rendering import Camera, orbit_camera, render, render_avatar

pytestmark = pytest.mark.slow

SMILE = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "jawOpen": 0.3}
TURN = {"neck": [0.0, 0.2, 0.0]}


def sample(name: str) -> bytes:
    return assets.path(f"samples/{name}").read_bytes()


@pytest.fixture(scope="module")
def done(shared):
    """A small head from two photos; a stranger's photo and a text file came along. With every status on the way."""
    job = shared.create(
        ("Tante Käthe 1.jpg", sample("person_a_1.jpg")),
        ("../../etc/Käthe 2.jpg", sample("person_a_2.jpg")),
        ("Nachbarin.jpg", sample("person_b_1.jpg")),
        ("notes.jpg", b"no photo"),
        name="Käthe", count="20000", refine_seconds="2",
    )  # fmt: skip
    seen = []
    shared.follow(job, lambda status: seen.append(status) or status["state"] not in ("queued", "running"))
    return seen


@pytest.fixture(scope="module")
def avatar_bytes(shared, done):
    return shared.request("GET", f"/jobs/{done[-1]['id']}/avatar").content


def test_the_job_ends_with_the_artists_own_file_names(done):
    last = done[-1]
    assert (last["state"], last["error"], last["fraction"]) == ("done", None, 1.0)
    assert last["photos"] == ["Tante Käthe 1.jpg", "Käthe 2.jpg"]
    reasons = {entry["name"]: entry["reason"] for entry in last["set_aside"]}
    assert set(reasons) == {"Nachbarin.jpg", "notes.jpg"}
    assert "Nachbarin.jpg shows another person" in reasons["Nachbarin.jpg"]
    assert "notes.jpg" in reasons["notes.jpg"]
    assert any("Tante Käthe 1.jpg" in warning for warning in last["warnings"])


def test_progress_rises_through_the_stages_that_were_announced(done):
    fractions = [status["fraction"] for status in done]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 5
    assert {status["stage_count"] for status in done} == {len(done[-1]["seconds"])}
    assert done[-1]["stage_index"] == done[-1]["stage_count"] - 1
    assert all(status["eta_s"] is not None for status in done if status["stage"])


def test_the_avatar_carries_the_names_and_nothing_of_the_server(avatar_bytes, tmp_path):
    (tmp_path / "a.npz").write_bytes(avatar_bytes)
    avatar = load(tmp_path / "a.npz")
    names = ["Tante Käthe 1.jpg", "Käthe 2.jpg"]
    assert avatar.name == "Käthe"
    assert [view.name for view in avatar.views] == names
    assert [photo["name"] for photo in avatar.provenance["photos"]] == names
    assert list(avatar.provenance["metrics"]["landmark_px"]) == names


def test_previews_and_exports_are_what_the_engine_draws_and_drives_itself(shared, avatar_bytes, tmp_path):
    summary = shared.request("PUT", "/heads/hero", data=avatar_bytes).json()
    (tmp_path / "a.npz").write_bytes(avatar_bytes)
    avatar = load(tmp_path / "a.npz")
    assert (summary["name"], summary["gaussians"]) == ("Käthe", len(avatar.gaussians))

    camera = orbit_camera(avatar, yaw=0.4, width=200, height=120)
    pose = {"expression": SMILE, "joint_rotations": TURN}
    answer = shared.request("POST", "/heads/hero/preview", json=pose | shot(camera, 7))
    assert (answer.status_code, answer.headers["X-Sequence"]) == (200, "7")
    assert float(answer.headers["X-Milliseconds"]) > 0
    pixels = np.frombuffer(answer.content, np.uint8).reshape(120, 200, 4).astype(float) / 255
    assert (pixels[..., :3] <= pixels[..., 3:]).all()
    over_white = pixels[..., :3] + 1 - pixels[..., 3:]
    wanted = render_avatar(avatar, SMILE, TURN, camera).numpy()
    assert np.abs(over_white - wanted).max() < 2 / 255

    plain = shared.request("POST", "/heads/hero/preview", json=shot(camera, 8)).content
    assert plain != answer.content

    exported = shared.request("POST", "/heads/hero/export", json=pose | {"format": "ply"}).content
    (tmp_path / "a.ply").write_bytes(exported)
    found, camera = from_file(read_ply(tmp_path / "a.ply").splats, "colmap"), orbit_camera(avatar, yaw=0.4)
    wanted = render_avatar(avatar, SMILE, TURN, camera)
    assert float((render(found, camera).over(1.0) - wanted).square().mean()) < 1e-4
    count = len(found.means)
    assert len(shared.request("POST", "/heads/hero/export", json=pose | {"format": "splat"}).content) == 32 * count
    baked = zipfile.ZipFile(io.BytesIO(shared.request("POST", "/heads/hero/bake", json={"size": 256}).content))
    picture = cv2.imdecode(np.frombuffer(baked.read("head.png"), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (256, 256, 4) and {"hair.png", "hair.npz"} <= set(baked.namelist())


def test_health_says_which_systems_jobs_may_ask_for(shared):
    systems = shared.get("/health")["systems"]
    assert systems[:6] == ["surface", "match", "ffavatar", "avat3r", "uika", "flexavatar"]
    assert [Options(system).system for system in systems] == systems


def test_the_preview_goes_on_during_a_job_that_is_then_cancelled(shared, avatar_bytes, portrait, tmp_path):
    shared.request("PUT", "/heads/live", data=avatar_bytes)
    job = shared.create(("me.png", portrait), refine_seconds="600", count="20000")
    shared.follow(job, lambda status: status["stage"] == "refinement")
    assert shared.get("/health")["busy"]
    (tmp_path / "a.npz").write_bytes(avatar_bytes)
    camera = orbit_camera(load(tmp_path / "a.npz"), yaw=0.0)
    for sequence in range(5):
        assert shared.request("POST", "/heads/live/preview", json=shot(camera, sequence)).status_code == 200
    assert shared.get(f"/jobs/{job}")["state"] == "running"
    assert shared.request("GET", f"/jobs/{job}/avatar").status_code == 409

    assert shared.request("DELETE", f"/jobs/{job}").status_code == 200
    assert shared.finished(job)["state"] == "cancelled"
    assert shared.request("GET", f"/jobs/{job}/avatar").status_code == 409
    shared.request("DELETE", f"/jobs/{job}")  # forgets it
    assert shared.request("GET", f"/jobs/{job}").status_code == 404
    assert not shared.get("/health")["busy"]


def test_a_job_without_a_face_fails_with_the_photos_name_and_a_way_out(shared):
    grey = io.BytesIO()
    Image.new("RGB", (300, 300), "grey").save(grey, "PNG")
    status = shared.finished(shared.create(("Wand.png", grey.getvalue())))
    assert (status["state"], status["error"]["type"]) == ("failed", "PhotoError")
    assert "No face found in Wand.png" in status["error"]["message"]
    assert status["error"]["hint"]


def test_photos_are_judged_before_they_are_used(shared, portrait):
    def check(name: str, content: bytes) -> dict:
        return shared.request("POST", "/photos/check", files={"photo": (name, content)}).json()

    good = check("me.png", portrait)
    assert (good["name"], good["usable"], good["faces"]) == ("me.png", True, 1)
    assert "me.png" in good["message"]
    assert abs(good["yaw"]) < 10  # the portrait is frontal
    mirrored = io.BytesIO()
    Image.open(assets.path("samples/person_b_1.jpg")).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored, "PNG")
    turned, back = check("b.jpg", sample("person_b_1.jpg")), check("b.png", mirrored.getvalue())
    assert turned["yaw"] == pytest.approx(-back["yaw"], abs=3)
    bad = check("C:\\photos\\letter.jpg", b"Dear Sir")
    assert (bad["name"], bad["usable"], bad["yaw"], bad["faces"]) == ("letter.jpg", False, None, 0)
    assert bad["message"].startswith("letter.jpg ")


def shot(camera: Camera, sequence: int) -> dict:
    size = {"width": camera.width, "height": camera.height, "sequence": sequence}
    return {"viewmat": camera.viewmat.tolist(), "K": camera.K.tolist(), **size}


def test_a_clip_becomes_a_take(shared):
    words = {"files": [("clip", ("Probe 1.mp4", sample("single_face.mp4")))], "data": {"smoothing": "0.3"}}
    job = shared.request("POST", "/performances", **words).json()["id"]
    early = shared.request("GET", f"/jobs/{job}/take")
    assert (early.status_code, early.json()["error"]["type"]) == (409, "NotReady")
    last = shared.finished(job)
    assert (last["state"], last["photos"], last["fraction"]) == ("done", ["Probe 1.mp4"], 1.0)
    assert "cheekPuff" in last["warnings"][-1]
    rows = list(csv.DictReader(shared.request("GET", f"/jobs/{job}/take").text.splitlines()))
    assert len(rows) > 10 and all(0 <= float(row["JawOpen"]) <= 1 for row in rows)
    assert shared.request("GET", f"/jobs/{job}/avatar").status_code == 404
    assert shared.request("DELETE", f"/jobs/{job}").status_code == 200


def test_what_is_no_clip_is_refused_by_the_artists_name_for_it(shared):
    answer = shared.request("POST", "/performances", files=[("clip", ("Urlaub.mp4", b"no clip"))])
    assert answer.json()["error"]["message"] == "Urlaub.mp4 is not a video clip that can be read."
    job = shared.create(("a.jpg", sample("person_a_1.jpg")), count="1000", refine_seconds="0")
    assert shared.request("GET", f"/jobs/{job}/take").status_code == 404
    shared.request("DELETE", f"/jobs/{job}")


def test_a_voice_and_a_photo_become_takes(shared):
    spoken = (Path(__file__).parents[1] / "voice" / "speech.flac").read_bytes()
    for route, field, name, content, stages in (
        ("/voices", "voice", "Rede 1.flac", spoken, {"sound", "phones", "lips"}),
        ("/poses", "photo", "Käthe.jpg", sample("person_a_1.jpg"), {"head model", "pose"}),
    ):
        job = shared.request("POST", route, files=[(field, (name, content))]).json()["id"]
        last = shared.finished(job)
        assert (last["state"], last["photos"], set(last["seconds"])) == ("done", [name], stages)
        rows = list(csv.DictReader(shared.request("GET", f"/jobs/{job}/take").text.splitlines()))
        assert (len(rows) == 1) == (route == "/poses")
    job = shared.request("POST", "/voices", files=[("voice", ("Stille.wav", b"no sound"))]).json()["id"]
    assert shared.finished(job)["error"]["message"].startswith("Stille.wav is not a sound")
