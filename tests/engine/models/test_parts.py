"""What an animator tries first on a head from one photo: close the eyes, look around, open the mouth."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import assets
from engine.avatar import drive, save
from engine.cli import main
from engine.evaluation.looks import camera_at, lids, picture
from engine.evaluation.looks.marks import mark, on_region, shares
from engine.gaussians.gaussians import at_anchors
from engine.heads import load_head
from engine.heads.landmarks import EYE_RIMS
from engine.heads.portrait import eyeballs
from engine.models.parts import eyes, furnish, lashes, mouth
from engine.models.parts.light import Light, light_on
from engine.models.surface import surface
from engine.models.surface.rounding import rounded
from engine.photos import load_photos
from engine.pipeline import Options, reconstruct_photos, track
from engine.progress import Progress

pytestmark = pytest.mark.slow  # all of it waits for heads that are built once

OPTIONS = Options(refine_seconds=60)
BLINK = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}


@pytest.fixture(scope="module")
def chosen():
    return load_photos([assets.path("samples/person_a_2.jpg")], Progress())


@pytest.fixture(scope="module")
def made(chosen):
    return reconstruct_photos(chosen, "A", OPTIONS, Progress())


@pytest.fixture(scope="module")
def judged(made, tmp_path_factory) -> Path:
    """What ``evaluate --looks`` writes about that head, which lies there as well."""
    folder = tmp_path_factory.mktemp("looks")
    save(made.avatar, folder / "a.npz")
    photos = assets.path("samples/person_a_2.jpg").parent
    words = ["--photos", str(photos), "-o", str(folder / "sheets"), "--json", str(folder / "looks.json")]
    assert main(["evaluate", "--looks", str(folder / "a.npz"), *words]) == 0
    return folder


@pytest.fixture(scope="module")
def looks(judged):
    return json.loads((judged / "looks.json").read_text())["heads"]["a"]


def test_closed_lids_are_clean_skin_and_open_ones_stay_as_photographed(made, looks):
    assert 0.78 < looks["lid_ratio"] < 1.08 and looks["lid_p5"] > 0.55 and looks["lid_step"] < 0.12
    bare = replace(made.avatar, eigenbasis=None)
    assert torch.equal(drive(made.avatar, {}).colors, drive(bare, {}).colors)
    ratio, darkest, _ = lids(bare, mark(bare))  # bruised
    assert ratio < looks["lid_ratio"] - 0.05 and darkest < looks["lid_p5"] - 0.1


def test_one_eye_closes_alone(made):
    rest, left = drive(made.avatar, {}), drive(made.avatar, {"eyeBlinkLeft": 1.0})
    changed = (rest.colors - left.colors).abs().amax(dim=1) > 0.01
    assert changed.sum() > 100
    middle = made.avatar.vertices[made.avatar.faces[made.avatar.gaussians.triangles.numpy()]].mean(axis=1)
    assert (middle[changed.numpy(), 0] > -5e-3).all()


def test_the_iris_is_where_the_gaze_is_commanded(looks):
    assert looks["gaze_error_deg"] < 1.5
    assert looks["iris_std"] < 0.035


def test_the_mouth_opens_on_teeth_tongue_and_a_dark_cavity(made, looks):
    assert 1.0 < looks["incisors_mm"] < 4.5
    assert looks["tongue_share"] < 0.35
    marks = mark(made.avatar)
    camera_picture = picture(made.avatar, {"jawOpen": 1.0}, 0)
    teeth, inside = shares(made.avatar, {"jawOpen": 1.0}, camera_at(made.avatar, 0), (marks.upper_teeth, marks.mouth))
    bright = camera_picture[teeth > 0.9].mean()
    assert bright > 2.5 * np.median(camera_picture[(inside > 0.9) & (teeth < 0.1)].mean(axis=-1))


def test_what_is_drawn_is_no_matter_of_refinement(chosen, made):
    """The same eyes, teeth and lashes with and without it; nothing of a smile is printed on them."""
    plain = reconstruct_photos(chosen, "A", replace(OPTIONS, refine_seconds=0), Progress()).avatar
    drawn = on_region(plain, "eyes", "teeth", "lashes")
    first, second = (a.gaussians.colors[torch.from_numpy(drawn)[a.gaussians.triangles]] for a in (plain, made.avatar))
    assert len(first) > 5_000 and torch.equal(first, second)


def test_a_black_and_white_portrait_stays_black_and_white(chosen):
    photo = chosen.photos[0]
    grey = np.repeat(photo.image.mean(axis=2, keepdims=True), 3, axis=2)
    bw = replace(photo, image=grey, foreground=grey)
    options = replace(OPTIONS, count=20_000, refine_seconds=0)
    avatar = reconstruct_photos(replace(chosen, photos=(bw,)), "A", options, Progress()).avatar
    for keys in ({}, {"jawOpen": 1.0}, BLINK):
        image = picture(avatar, keys, 0)
        assert np.ptp(image, axis=2).max() < 0.05


def test_light_tells_brightness_and_colour():
    day = np.tile([0.70, 0.53, 0.47], (100, 1))
    assert light_on(day).saturation == 1.0
    assert light_on(0.7 * day).brightness == pytest.approx(0.7 * light_on(day).brightness, rel=0.05)
    assert light_on(np.full((100, 3), 0.5)).saturation == 0.0
    assert np.allclose(np.ptp(Light(1.0, 0.0).on(np.array([0.7, 0.4, 0.3]))), 0)


def test_teeth_take_their_colour_from_those_that_are_seen():
    yellow = np.tile([0.80, 0.72, 0.50], (200, 1))
    told = mouth.enamel(yellow, Light(1.0, 1.0))
    assert told[2] < told[0] - 0.15
    assert not np.allclose(mouth.enamel(yellow[:10], Light(1.0, 1.0)), told)  # too few of them


def test_an_eye_is_the_same_all_around_its_gaze():
    head = load_head()
    ball = eyeballs(head.template.astype(float), head.regions["eyes"])[0]
    look = eyes.EyeLook(np.array([0.4, 0.3, 0.2]), np.array([0.3, 0.2, 0.1]), np.array([0.8, 0.78, 0.75]), np.zeros(2))
    strokes = eyes.draw(ball, look)
    direction = (strokes.means - ball.centre) / ball.radius
    assert np.allclose(np.linalg.norm(direction, axis=1), 1)
    angle = np.degrees(np.arccos(direction[:, 2]))
    assert strokes.colors[angle < 5].max() < 0.1  # the pupil
    assert np.allclose(strokes.colors[(angle > 12) & (angle < 13)].std(axis=0), 0, atol=0.01)
    assert strokes.colors[(angle > 28) & (angle < 32)].min() > 0.6  # the white beside the iris


def test_skin_between_vertices_is_round(made):
    """On a convex skull everything is lifted outwards, and what lies on a vertex is not moved."""
    head, rig = load_head(), made.model.rig
    g = made.model.gaussians
    flat = replace(g, offsets=torch.zeros_like(g.offsets))
    lifted = rounded(flat, head, rig).offsets
    scalp = torch.from_numpy(head.face_region("scalp"))[g.triangles] & (g.parts == 0)
    assert (lifted[scalp, 2] > -2e-4).float().mean() > 0.9 and lifted[scalp, 2].max() > 3e-4
    corners = replace(flat, barycentrics=torch.tensor([1.0, 0, 0]).repeat(len(g), 1))
    assert rounded(corners, head, rig).offsets.abs().max() < 1e-6


def test_the_command_line_judges_heads(judged, looks):
    assert set(looks) == {
        "lid_ratio", "lid_p5", "lid_step", "iris_std", "gaze_error_deg", "incisors_mm", "tongue_share", "ribbon",
        "hatch", "midline_step", "back_front_texture", "laplacian", "csim",
    }  # fmt: skip
    assert set(looks["csim"]) == {"0", "30", "45", "60"} and looks["csim"]["0"] > 0.6 and looks["hatch"] > 0.3
    assert (judged / "sheets/a.png").stat().st_size > 100_000
    head = str(judged / "a.npz")
    assert main(["evaluate", "--looks", head, str(judged / "sub/a.npz")]) != 0  # one name twice


def test_an_iris_takes_the_photos_colour_all_around_and_no_reflection(chosen, made):
    """Blue irises with a lamp in them: the drawn ones turn bluer alike on all sides, and no brighter at the lamp."""
    photo = chosen.photos[0]
    image = photo.image.copy()
    row, column = np.mgrid[: image.shape[0], : image.shape[1]]
    for first in EYE_RIMS:
        x, y = photo.landmarks[first, :2]
        radius = np.linalg.norm(photo.landmarks[first + 1, :2] - photo.landmarks[first, :2])
        image[np.hypot(column + 0.5 - x, row + 0.5 - y) < 0.85 * radius] = (0.2, 0.3, 0.7)
        image[np.hypot(column + 0.5 - x - 0.4 * radius, row + 0.5 - y) < 0.2 * radius] = 1.0
    head = load_head()
    tracked = track(chosen.photos, head, Progress())
    model = surface(chosen.photos, tracked, head, Progress(), 30_000)
    plain, blue = (furnish(model, [p], head).gaussians for p in (photo, replace(photo, image=image)))
    vertices = model.rig.neutral.numpy().astype(np.float64)
    place = at_anchors(blue, head.faces, vertices)
    eye = head.face_region("eyes")[blue.triangles.numpy()]
    for ball, side in zip(eyeballs(vertices, head.regions["eyes"]), (1, -1), strict=True):
        away = place - ball.centre
        angle = np.arccos(np.clip(away[:, 2] / np.maximum(np.linalg.norm(away, axis=1), 1e-9), -1, 1))
        iris = eye & (side * place[:, 0] > 0) & (angle > 0.5 * eyes.limbus(ball)) & (angle < 0.7 * eyes.limbus(ball))
        assert iris.sum() > 100
        change = (blue.colors - plain.colors).numpy()[iris]
        assert (change[:, 2] - change[:, 0]).mean() > 0.1
        assert blue.colors.numpy()[iris].max() < 0.8 and np.std(change[:, 2]) < 0.05


def test_lashes_grow_on_lids_that_stand_off_the_eyeballs():
    head = load_head()
    far = head.template.astype(np.float64).copy()
    far[head.regions["lashes"], 2] += 0.004
    balls = eyeballs(far, head.regions["eyes"])
    usual, moved = (lashes.draw(head, v, balls, lashes.DARK) for v in (head.template.astype(np.float64), far))
    assert len(moved.means) == len(usual.means) > 500
