"""Photos added to a head later: what is kept of the first ones says as much as they did."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine import assets
from engine.avatar import load, save
from engine.cli import main
from engine.errors import AvatarError, EngineError, PhotoError
from engine.heads.atlas import texels_for_count
from engine.heads.rig import make_rig
from engine.models.head_gaussians import HeadGaussians
from engine.models.kit.memory import TokenMemory
from engine.models.learned import reconstruct
from engine.models.learned.photo_memory import PhotoMemory, lay_over
from engine.models.learned.posed_images import PAINTED, PaintedTexture
from engine.models.learned.reconstruct import reconstruct_with, trained
from engine.models.learned.system import UVMap
from engine.models.surface import paint_on
from engine.photos import PhotoSet, load_photos
from engine.pipeline import Options, add_photos, make_avatar
from engine.progress import Progress
from engine.synthetic.portraits import portrait, true_tracking
from engine.systems import ffavatar, make_system
from engine.systems.ffavatar import NETWORK, FFAvatarSystem, add_with
from engine.tracking import track
from engine.training.objective import posed_sample
from tests.engine.systems.people import head, person, shelved, system

pytestmark = pytest.mark.slow

COUNT = 5_000


def fresh() -> FFAvatarSystem:
    learned = system("ffavatar")
    assert isinstance(learned, FFAvatarSystem)
    return learned


@pytest.fixture(scope="module")
def still() -> FFAvatarSystem:
    """Fresh, and without motion: nothing to fit a basis to."""
    torch.manual_seed(0)
    learned = make_system("ffavatar", "small", head(), {"residual_motion": "false"}).eval().requires_grad_(False)
    assert isinstance(learned, FFAvatarSystem)
    return learned


@pytest.fixture(scope="module")
def first(still) -> HeadGaussians:
    tracked = true_tracking(person(), [0])
    made = reconstruct_with(still, [portrait(person(), 0)], tracked, head(), Progress(), COUNT)
    assert isinstance(made.memory, PhotoMemory)
    return made


@pytest.fixture(scope="module")
def kept(first, tmp_path_factory) -> tuple[Path, PhotoMemory]:
    path = tmp_path_factory.mktemp("kept") / "head.memory"
    first.memory.save(path)
    return path, PhotoMemory.load(path)


@pytest.fixture(scope="module")
def samples() -> PhotoSet:
    return load_photos([assets.path(f"samples/person_a_{i}.jpg") for i in (1, 2)], Progress())


def test_a_photo_more_is_as_good_as_all_at_once():
    """Tokens and appearance, given the same texture; by the network's own code and by two calls on posed images."""
    learned, texels = fresh(), len(UVMap(head(), PAINTED).triangles)
    shares = torch.rand(5, texels, generator=torch.Generator().manual_seed(0))
    texture = PaintedTexture(torch.from_numpy(person().neutral), shares[:3].T, *shares[3:])
    together, former, latter = (posed_sample(shelved(), views, texture, head()) for views in ([0, 1], [0], [1]))
    at_once, one = learned.encode(together).state, learned.encode(former).state
    then = learned.encode(latter, one.memory).state
    torch.testing.assert_close(then.memory.tokens, at_once.memory.tokens, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(one.appearance.features, at_once.appearance.features, atol=1e-3)
    torch.testing.assert_close(then.appearance.features, at_once.appearance.features, rtol=1e-3, atol=1e-4)
    for name, raw in at_once.appearance.raw.items():
        torch.testing.assert_close(then.appearance.raw[name], raw, rtol=1e-3, atol=1e-4)


def test_what_is_kept_comes_back(first, kept):
    path, back = kept
    known = first.memory
    assert torch.equal(back.tokens.tokens, known.tokens.tokens) and back.tokens.rows == known.tokens.rows
    assert torch.equal(TokenMemory.load(path).tokens, known.tokens.tokens)
    for name in ("neutral", "joints", "identity"):
        assert np.array_equal(getattr(back.tracked, name), getattr(known.tracked, name))
    for name in ("viewmat", "K", "expression", "joint_rotations"):
        assert np.array_equal(getattr(back.tracked.views[0], name), getattr(known.tracked.views[0], name))
    assert torch.equal(back.texture.neutral, known.texture.neutral)
    assert (back.texture.colors - known.texture.colors).abs().max() <= 0.5 / 255 + 1e-6
    assert (back.photos, back.count, back.focal) == ((("0", "0" * 64),), COUNT, known.focal)


def test_a_photo_is_added_to_what_was_kept(kept, still):
    """On the same rig, with the tokens of the photo alone, seen where either photo sees."""
    view, (_, known) = 1, kept
    photo, tracked = portrait(person(), view), true_tracking(person(), [view])
    made = add_with(still, known, [photo], tracked, head(), Progress())
    assert torch.equal(made.rig.neutral, known.texture.neutral)
    assert made.memory.tokens.tokens.shape[1] == 2
    assert torch.equal(made.memory.tokens.tokens[:, :1], known.tokens.tokens)
    assert [name for name, _ in made.memory.photos] == ["0", "1"] and len(made.memory.embeddings) == 2
    seen, before = made.memory.texture.seen, known.texture.seen
    assert torch.all(seen >= before) and (seen > before + 0.5).sum() > 50
    assert len(made.views) == 1 and made.gaussians.opacities.isfinite().all()


def test_textures_are_weighed_by_how_squarely_photos_show_them(kept):
    """Where one photo alone sees, its colour comes through; the darker exposure of the other is evened out."""
    known = kept[1].texture
    h, views = head(), true_tracking(person(), [1]).views
    rig = make_rig(h, known.neutral.numpy(), person().joints)
    photo = portrait(person(), 1)
    dark = replace(photo, image=0.8 * photo.image, foreground=0.8 * photo.foreground)
    resolution = texels_for_count(h.uv, h.uv_faces, COUNT)
    bright, dimmed = (paint_on([each], views, h, rig, resolution) for each in (photo, dark))
    one, other = (lay_over(known, painted, h) for painted in (bright, dimmed))
    alone = (known.seen.numpy() == 0) & (bright.texture.seen > 0.9) & ~bright.texels.member(h, "torso")
    assert alone.sum() > 20
    assert np.abs(one.colors - bright.colors / np.exp(one.shoot.lights[0, 0]))[alone].mean() < 0.03
    assert np.allclose(np.exp(other.shoot.lights[:, 0] - one.shoot.lights[:, 0]), 0.8, atol=0.02)
    assert np.abs(one.colors - other.colors).mean() < 0.02
    mine = (bright.texture.seen == 0) & (known.seen.numpy() > 0.9)
    assert np.abs(one.colors - known.colors.numpy())[mine].mean() < 0.02


def test_nothing_is_added_to_what_does_not_fit(first, kept, tmp_path):
    """Missing, damaged, of another head, of other weights, and with another system."""
    photo = portrait(person(), 0)
    tracked, options = true_tracking(person(), [0]), Options("ffavatar", count=COUNT)
    avatar, path = tmp_path / "head.npz", tmp_path / "head.memory"
    made = make_avatar("head", head(), first, [photo], tracked, options)
    save(made, avatar)

    def refused(match: str, error: type[EngineError] = AvatarError, chosen: Options = options) -> None:
        with pytest.raises(error, match=match):
            add_photos([Path("new.jpg")], avatar, "more", chosen, Progress())

    refused("Only ffavatar", EngineError, Options("surface"))
    refused("is not there")
    path.write_bytes(kept[0].read_bytes()[:-1000])
    refused("damaged")
    with safe_open(kept[0], framework="pt") as file:
        about, parts = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    for name, wrong in (
        ("colors", parts["colors"][:-1]),
        ("joints", parts["joints"] * float("nan")),
        ("embeddings", parts["embeddings"][:, :-1]),
    ):
        save_file(parts | {name: wrong.contiguous()}, path, about)
        refused("damaged")
    save_file({"tokens": parts["tokens"]}, path, {"memory": about["memory"]})  # tokens alone
    refused("damaged")
    shutil.copyfile(kept[0], path)
    refused("other weights")  # a fresh network's, which has no file
    ours = replace(kept[1].tokens, weights=trained("ffavatar", NETWORK).weights)
    replace(kept[1], tokens=ours).save(path)
    save(replace(made, vertices=made.vertices + np.float32(0.001)), avatar)
    refused("belongs to another head")


def test_a_known_person_is_found_in_a_new_photo(first, samples):
    """About as well as when both photos are tracked together; the report's pixels agree with the solver's own."""
    one, other = samples.photos
    tracked = track([one], head(), Progress())
    known = PhotoMemory.of(first.memory.tokens, tracked, first.memory.texture, COUNT, [one])
    placed, both = known.place([one, other], head()), track([one, other], head(), Progress())
    for row, view, expected in zip(placed.residuals, placed.views, both.residuals, strict=True):
        assert row[0] == view.name == expected[0]
        assert row[1] < 2 and np.isclose(row[1], view.residual, atol=0.05)
        assert np.abs(np.subtract(row[5:], expected[5:])).max() < 4  # degrees
    assert np.isclose(placed.residuals[0][2], tracked.residuals[0][2], atol=0.2)  # lips, by the mesh and by the solver
    assert np.array_equal(placed.neutral, tracked.neutral)


def test_only_new_photos_of_the_same_person_are_added(first, samples, tmp_path):
    photo = samples.photos[0]
    known = first.memory
    tokens = replace(known.tokens, weights=trained("ffavatar", NETWORK).weights)
    embeddings = torch.from_numpy(photo.embedding)[None]
    replace(known, tokens=tokens, photos=((photo.name, photo.sha256),), embeddings=embeddings).save(
        tmp_path / "head.memory"
    )
    options = Options("ffavatar", count=COUNT)
    save(make_avatar("head", head(), first, [photo], true_tracking(person(), [0]), options), tmp_path / "head.npz")
    for name, reason in (("person_a_1", "in the head already"), ("person_b_1", "another person")):
        with pytest.raises(PhotoError, match=reason):
            add_photos([assets.path(f"samples/{name}.jpg")], tmp_path / "head.npz", "more", options, Progress())


def test_a_photo_is_added_at_the_command_line(still, tmp_path, monkeypatch):
    """One photo after the other, with a network that knows nothing and need not be baked."""
    for module in (reconstruct, ffavatar):
        monkeypatch.setattr(module, "trained", lambda name, network, path=None: still)
    photos = [str(assets.path(f"samples/person_a_{i}.jpg")) for i in (1, 2)]
    heads = [str(tmp_path / f"{name}.npz") for name in ("one", "two")]
    words = ["--system", "ffavatar", "--gaussians", str(COUNT)]
    assert main(["reconstruct", photos[0], "-o", heads[0], *words, "--refine", "0"]) == 0
    report = tmp_path / "two.json"
    words += ["--add", heads[0], "--refine", "2", "--json", str(report)]
    assert main(["reconstruct", photos[1], "-o", heads[1], *words]) == 0
    assert str(tmp_path / "two.memory") in json.loads(report.read_text("utf-8"))["files"]
    one, two = (load(Path(path)) for path in heads)
    assert [photo["name"] for photo in two.provenance["photos"]] == ["person_a_1.jpg", "person_a_2.jpg"]
    assert [view.name for view in two.views] == ["person_a_1.jpg", "person_a_2.jpg"]
    assert np.array_equal(one.vertices, two.vertices) and two.provenance["options"]["count"] == COUNT
    kept = [PhotoMemory.load(tmp_path / f"{name}.memory") for name in ("one", "two")]
    assert [len(memory.photos) for memory in kept] == [1, 2]
    assert torch.equal(kept[1].tokens.tokens[:, :1], kept[0].tokens.tokens)
    assert main(["reconstruct", photos[1], "-o", heads[1], *words[2:]]) == EngineError.exit_code  # by surface
