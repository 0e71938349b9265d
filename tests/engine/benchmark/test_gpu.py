"""The GPU benchmark's rows at toy sizes on the CPU: what they compare, what they count, how they are resumed."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from engine.avatar import drive
from engine.benchmark import gpu, networks, splatting
from engine.benchmark.rows import Task, run
from engine.cli import main
from engine.errors import Cancelled, EngineError
from engine.heads.atlas import make_atlas
from engine.models.avat3r import Avat3r
from engine.models.ffavatar import FFAvatar
from engine.models.flexavatar import FlexAvatar
from engine.models.kit.encoders import DinoConfig
from engine.models.kit.registration import RegistrationConfig
from engine.models.kit.rehearsal import shell_photos
from engine.models.kit.scene import shell, shell_avatar
from engine.models.kit.unet import UNetConfig
from engine.models.kit.uv_estimator import UVEstimatorConfig
from engine.models.match import MATCH
from engine.models.uika import UIKA
from engine.progress import Progress
from engine.splatting import rasterization, reference
from engine.systems import network

ROOT = Path(__file__).resolve().parents[3]

CPU = torch.device("cpu")
DINO = DinoConfig(48, 4, 3)
TINY_MATCH = replace(
    MATCH.paper(), registration=RegistrationConfig(64, 8, 8, 6), width=64, heads=2, pairs=2, feature_width=5
)
TOY = {
    "match": partial(network("match").rehearse, TINY_MATCH, photo=(64, 48)),
    "uika": partial(
        network("uika").rehearse,
        replace(
            UIKA.paper(), image_size=64, encoder=DINO, taps=(0, 1, 2, 3), width=48, heads=3, depth=4, side=8,
            dpt_widths=(8, 8, 8, 8), dpt_width=8, map_width=8, mlp_width=8, feature_width=8,
            estimator=UVEstimatorConfig(replace(DINO, frozen=False), (8, 8, 8, 8), 8),
        ),
    ),
    "ffavatar": partial(
        network("ffavatar").rehearse,
        replace(
            FFAvatar.paper(), image_size=64, encoder=DINO, width=48, heads=3, pairs=2, resolution=24, feature_width=16
        ),
    ),
    "avat3r": partial(
        network("avat3r").rehearse,
        replace(
            Avat3r.paper(), image_size=64, width=48, heads=3, self_blocks=1, cross_blocks=1, upsample=(16, 8, 8),
            feature_width=5,
        ),
    ),
    "flexavatar": partial(
        network("flexavatar").rehearse,
        replace(
            FlexAvatar.paper(), image_size=64, encoder=DINO, taps=(1, 3), width=48, heads=3, self_blocks=1,
            query_blocks=1, side=6, upsample=(16, 8, 8), identity_width=6, unet=UNetConfig(8, 3),
        ),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("system", list(TOY))
def test_networks_give_the_gaussians_of_their_system(system):
    """Counted by hand from the toy sizes; the second photo must not change how many there are, but for pixels."""
    with torch.inference_mode():
        case = TOY[system](2, CPU)
        head = case.create()
        splats = case.frame(head) if case.frame else head.splats if system == "match" else head
    vertices, valid = 71**2, lambda side: make_atlas(shell().uv, shell().faces, side).mask.sum()
    seen = shell_photos(2, 64, 64, CPU).where.mask.sum()
    expected = {
        "match": 64 * 64,
        "uika": valid(32),
        "ffavatar": vertices + valid(24),
        "avat3r": seen,
        "flexavatar": valid(48),
    }
    assert splats.means.shape[-1] == 3
    assert splats.means.numel() == 3 * int(expected[system])
    assert splats.means.isfinite().all()
    figures = networks.create(TOY[system], 1, CPU, torch.bfloat16, repeats=1)
    assert figures["parameters_M"] * 1e6 == sum(p.numel() for m in case.modules for p in m.parameters())


@pytest.mark.slow
def test_photos_show_the_shell_where_their_correspondence_says():
    """Positions from uv by formula, projected by the cameras, fall back onto their pixels."""
    photos = shell_photos(3, 48, 40, CPU)
    for view in range(3):
        rows, columns = photos.where.mask[0, view, 0].nonzero().unbind(1)
        assert len(rows) > 200
        points = photos.positions[0, view][:, rows, columns].T
        camera = points @ photos.viewmats[0, view, :3, :3].T + photos.viewmats[0, view, :3, 3]
        pixels = camera @ photos.Ks[0, view].T
        pixels = pixels[:, :2] / pixels[:, 2:]
        expected = torch.stack((columns, rows), dim=1) + 0.5
        assert (pixels - expected).abs().max() < 0.2
        assert (camera[:, 2] < 0.6 + 0.02).all()  # the side that faces the camera


def test_the_rig_carries_a_networks_gaussians_as_it_carries_an_avatars():
    avatar = shell_avatar(500, CPU)
    bound, weights = avatar.gaussians, dict.fromkeys(avatar.key_names, 0.5)
    rest = drive(avatar, {})
    carried = networks._carried(rest, avatar, bound.triangles, bound.barycentrics)
    driven = drive(avatar, weights, {joint: [0.05] * 3 for joint in avatar.joint_names})
    assert (driven.means - rest.means).norm(dim=-1).median() > 1e-3
    torch.testing.assert_close(carried.means, driven.means, rtol=0, atol=1e-6)
    torch.testing.assert_close(carried.scales, driven.scales, rtol=1e-4, atol=0)


@pytest.mark.slow
def test_parity_sees_agreement_and_every_kind_of_disagreement():
    scenes = [splatting.random_scene(seed, 60, 31, 23) for seed in range(3)]

    def exact(*values):
        doubled = (x.double() if isinstance(x, torch.Tensor) else x for x in values)
        renders, alphas = reference.rasterization(*doubled)
        return renders, alphas, None

    close = splatting.parity(scenes, splatting.on_device(CPU), exact)
    assert 0 < close["image"] < 1e-3 and all(value < 1e-3 for value in close.values())
    assert set(close) == {"image", "mean_image", "alpha", *(f"d_{name}" for name in splatting.INPUTS)}

    for number, name in enumerate(splatting.INPUTS):

        def wrong_gradient(*values, number=number):
            values = list(values)
            values[number] = values[number] * 1.0
            values[number].register_hook(lambda gradient: 1.5 * gradient)
            return rasterization(*values)

        found = splatting.parity(scenes[:1], wrong_gradient, exact)
        assert found[f"d_{name}"] == pytest.approx(0.5, abs=1e-3)
        assert found["image"] < 1e-3

    def dimmer(*values):
        renders, alphas, meta = rasterization(*values)
        return renders, alphas - 0.25, meta

    assert splatting.parity(scenes, dimmer, exact)["alpha"] == pytest.approx(0.25, abs=1e-3)


def test_2dgs_is_called_as_gsplat_wants_it(monkeypatch):
    """gsplat draws on CUDA alone: its own signature takes the call here."""
    gsplat = pytest.importorskip("gsplat")
    signature, seen = inspect.signature(gsplat.rasterization_2dgs), []
    monkeypatch.setattr(gsplat, "rasterization_2dgs", lambda *a, **k: seen.append(signature.bind(*a, **k).arguments))
    figures = splatting.draw_2dgs(700, 64, CPU, repeats=2)
    assert figures["FPS"] == pytest.approx(1000 / figures["ms"])
    call = seen[-1]
    shapes = {name: tuple(call[name].shape) for name in splatting.INPUTS}
    assert shapes == {
        "means": (700, 3), "quats": (700, 4), "scales": (700, 3), "opacities": (700,), "colors": (700, 3),
        "viewmats": (1, 4, 4),
    }  # fmt: skip
    assert (call["width"], call["height"]) == (64, 64)


SIZES = gpu.Sizes(
    counts=(300,),
    image=64,
    photos=(1,),
    systems={name: TOY[name] for name in ("match", "avat3r")},
    scenes=1,
    scene_count=30,
    context=TINY_MATCH,
    context_size=64,
    context_photos=(1, 2),
    frames=1,
    passes=1,
)
WHERE = {"device": "toy", "torch": "1"}


@pytest.mark.slow
def test_the_table_is_whole_and_resumed(tmp_path, monkeypatch):
    def broken(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate everything")

    names = [task.name for task in gpu.tasks(CPU, SIZES)]
    assert len(names) == len(set(names)) == 1 + 4 + (1 + 2) * 2 + 2
    with monkeypatch.context() as patch:
        patch.setattr(splatting, "drive", broken)
        rows = {row.name: row for row in gpu.measure(tmp_path, CPU, WHERE, SIZES, Progress())}
    assert list(rows) == names
    failed = {name for name, row in rows.items() if row.error}
    assert {"drive, 300", "preview, 300"} <= failed <= {"drive, 300", "preview, 300", "draw 2DGS, 300"}
    assert rows["drive, 300"].error == "OutOfMemoryError: CUDA out of memory."
    assert rows["parity of gsplat with the CPU kernels"].figures["image"] == 0  # the CPU's kernels against themselves
    page = (tmp_path / "gpu.md").read_text("utf-8")
    assert all(f"| {name} |" in page for name in names)
    assert "Avat3r 53 FPS" in page and "engine train --system match" in page

    again = {row.name: row for row in gpu.measure(tmp_path, CPU, WHERE, SIZES, Progress())}
    assert again["drive, 300"].error is None and again["drive, 300"].figures["FPS"] > 0
    unchanged = set(names) - failed
    assert all(again[name].figures == rows[name].figures for name in unchanged)  # times never repeat by chance


def test_other_versions_and_a_stop_are_respected(tmp_path):
    path, calls = tmp_path / "rows.json", []
    tasks = [Task(name, partial(lambda name: calls.append(name) or {"s": 1.0}, name)) for name in "abc"]
    stop = iter([False, False, True])
    with pytest.raises(Cancelled):
        run(tasks, path, WHERE, CPU, Progress(is_cancelled=lambda: next(stop)))
    assert calls == ["a", "b"]
    run(tasks, path, WHERE, CPU, Progress())
    assert calls == ["a", "b", "c"]
    run(tasks, path, WHERE | {"torch": "2"}, CPU, Progress())
    assert calls == [*"abcabc"]
    for damage in ("{", "[1]", '[{"name": "a"}]', '[{"name":1,"setting":{},"figures":{},"peak_gb":null,"error":null}]'):
        path.write_text(damage)
        with pytest.raises(EngineError, match=r"rows\.json"):
            run(tasks, path, WHERE, CPU, Progress())
        assert path.read_text("utf-8") == damage


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_command_says_so(tmp_path, capsys):
    assert main(["benchmark", "--gpu", "-o", str(tmp_path / "table")]) == 1
    assert "no CUDA GPU" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_page_lists_every_row_and_command():
    page = (ROOT / "docs/gpu.md").read_text("utf-8")
    for task in gpu.tasks(CPU, gpu.Sizes()):
        assert f"| {task.name} |" in page, task.name
    assert all(command in page for command in gpu.training_commands())
    assert all(gpu.published(task.name) in page for task in gpu.tasks(CPU, gpu.Sizes()))
