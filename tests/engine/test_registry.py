"""A file more is a system, a head model, a rasteriser, a format or a live source more, wherever a user meets one."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import engine.live.sources
import engine.systems
from engine.avatar import Pose, drive, load, save
from engine.cli import main
from engine.device import on_cpu
from engine.errors import EngineError
from engine.estimate import typical_table
from engine.exchange.exporting import export
from engine.formats import splats
from engine.heads import load_head, models
from engine.models.kit.scene import shell_avatar
from engine.performance.take import read_take
from engine.pipeline import Options
from engine.progress import Progress
from engine.server.app import health
from engine.splatting import backends, rasterization
from engine.synthetic.portraits import portrait, true_tracking
from tests.engine.systems.people import head, person

pytestmark = pytest.mark.slow

TOY_SYSTEM = '''
"""Everything in grey."""

from dataclasses import replace

import torch

from engine.models.spec import SystemSpec
from engine.models.surface import surface


def grey(photos, tracked, head, progress, count, seconds=0.0, device=None):
    made = surface(photos, tracked, head, progress, count)
    return replace(made, gaussians=replace(made.gaussians, colors=torch.full_like(made.gaussians.colors, 0.5)))


SPEC = SystemSpec(name="toy", label="Toy", description="Everything in grey", reconstruct=grey, seconds=2.0)
'''
TOY_HEAD = '''
"""The default head under another name."""

from dataclasses import replace

from engine.heads.spec import HeadModelSpec

SPEC = HeadModelSpec(
    name="toyhead", label="Toy", description="The default head under another name", version=1,
    depends_on=lambda file: b"", build=lambda file, default: replace(default(), name="toyhead"),
)
'''
TOY_BACKEND = '''
"""Draws nothing, and says on what."""

import torch

from engine.splatting.spec import BackendSpec


def rasterize(means, quats, scales, opacities, colors, viewmats, Ks, width, height, **rest):
    return torch.zeros(len(viewmats), height, width, 4), torch.zeros(len(viewmats), height, width, 1), {"drawn": means}


SPEC = BackendSpec(name="toydraw", device="meta", rasterize=rasterize)
'''
TOY_FORMAT = '''
"""How many there are."""

from engine.formats.spec import SplatFormat


def write(splats, path):
    path.write_text(str(len(splats.means)))


def read(path):
    raise NotImplementedError


SPEC = SplatFormat(name="toy", label="a count", write=write, read=read)
'''
TOY_SOURCE = '''
"""One face, and then nothing."""

import numpy as np

from engine.live.sample import sample_of
from engine.live.spec import Counts, SourceSpec


class Feed:
    def __init__(self, wish):
        self.counts, self.left = Counts(), [sample_of(1.0, np.full(52, 0.5), np.zeros((3, 3)), wish.target)]

    def read(self, seconds):
        self.counts.ended = "" if self.left else "It was one."
        left, self.left = self.left, []
        return left

    def close(self):
        pass


SPEC = SourceSpec(name="toylive", label="Toy", description="One face", open=Feed, target="Subject")
'''
PLACES = {
    "system": (engine.systems, engine.systems.systems, TOY_SYSTEM),
    "head": (models, models.head_models, TOY_HEAD),
    "backend": (backends, backends.backends, TOY_BACKEND),
    "format": (splats, splats.splat_formats, TOY_FORMAT),
    "source": (engine.live.sources, engine.live.sources.sources, TOY_SOURCE),
}


@pytest.fixture(autouse=True)
def toys(tmp_path, monkeypatch):
    """One file for each; gone after the test."""
    for kind, (package, registry, source) in PLACES.items():
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "toy.py").write_text(source)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        registry.cache_clear()
    importlib.invalidate_caches()
    yield
    for package, registry, _ in PLACES.values():
        sys.modules.pop(f"{package.__name__}.toy", None)
        registry.cache_clear()


@pytest.fixture
def avatar_file(tmp_path) -> Path:
    about = {"photos": [], "head_model": {"name": "shell", "licence": "none"}, "versions": {}, "options": {}}
    about |= {"metrics": {}, "created": "2026-01-01"}
    save(replace(shell_avatar(50, torch.device("cpu")), provenance=about), tmp_path / "head.npz")
    return tmp_path / "head.npz"


def said_by_health() -> dict:
    jobs = SimpleNamespace(busy=False, queued=0, typical_seconds=dict)
    return health(SimpleNamespace(drawing=SimpleNamespace(now=on_cpu()), jobs=jobs, heads=(), weights={})).model_dump()


def help_of(capsys, command: str) -> str:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return capsys.readouterr().out


def test_a_system_is_one_file(capsys):
    photo, tracked = portrait(person(), 0), true_tracking(person(), [0])
    made = engine.systems.system("toy").reconstruct([photo], tracked, head(), Progress(), 5_000)
    assert len(made.gaussians.colors) > 4_000 and (made.gaussians.colors == 0.5).all()
    assert "toy" in help_of(capsys, "reconstruct") and "toy" not in help_of(capsys, "train")
    assert {"name": "toy", "label": "Toy", "description": "Everything in grey", "network": False, "heads": None} in (
        said_by_health()["system_details"]
    )
    assert Options("toy").own_seconds == 0 and typical_table()["toy"]["normal"][0] > 2


def test_a_head_model_is_one_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GAUSSIAN_HEADS_CACHE", str(tmp_path))
    assert load_head("toyhead").name == "toyhead" and len(load_head("toyhead").template) == len(head().template)
    assert len(list(tmp_path.glob("toyhead-*.npz"))) == 1
    assert "toyhead" in said_by_health()["head_models"] and "toyhead" in help_of(capsys, "reconstruct")


def test_a_rasteriser_is_one_file(capsys):
    one, eye = torch.ones(1, 3, device="meta"), torch.eye(4, device="meta")[None]
    _, _, meta = rasterization(one, torch.ones(1, 4, device="meta"), one, one[:, 0], one, eye, eye[:, :3, :3], 4, 3)
    assert meta["drawn"] is one
    assert said_by_health()["backends"] == ["numba", "gsplat", "toydraw"] and "toydraw" in help_of(capsys, "benchmark")


def test_a_format_is_one_file(tmp_path, capsys, avatar_file: Path):
    target = tmp_path / "head.toy"
    assert main(["export", str(avatar_file), "-o", str(target)]) == 0
    assert target.read_text() == str(len(drive(load(avatar_file), {}).means))
    assert said_by_health()["formats"]["toy"] == "a count" and ".toy" in help_of(capsys, "export")
    with pytest.raises(EngineError, match="unknown kind") as refused:
        export(load(avatar_file), Pose(), tmp_path / "head.obj")
    assert ".spz or .toy" in refused.value.hint


def test_a_live_source_is_one_file(tmp_path, capsys):
    assert "toylive" in help_of(capsys, "live")
    take = tmp_path / "take.csv"
    assert main(["live", "--source", "toylive", "--target", "Ada", "--record", str(take)]) == 0
    assert "Ada_00-00-01: 1 samples" in capsys.readouterr().err and len(read_take(take)) == 1
